"""VUS-PR of seeded series as the authors' package `vus` 0.0.6 computes it.

The package asks for TensorFlow and ten more, so it is no dependency of ours. REFERENCE was printed by

    python3.11 -m venv vus-env
    vus-env/bin/pip install --no-deps vus==0.0.6
    vus-env/bin/pip install -c constraints.txt numpy pandas scikit-learn tqdm
    vus-env/bin/python aiops_assets_tests/judging/vus_reference.py
"""

import numpy as np

REFERENCE = {
    "plain 0": 0.6671576101419884,
    "plain 1": 0.6344533090927758,
    "plain 4": 0.7502313366893426,
    "plain 21": 0.7328408085733311,
    "plain 60": 0.7646985754255721,
    "edges 9": 0.6738005974201315,
    "edges 60": 0.7888289901618258,
    "close 12": 0.6929184026273634,
    "close edges 60": 0.831307846818174,
    "ties 10": 0.5547174319464468,
    "ties close 33": 0.758304236187469,
    "constant 10": 0.15851190256942715,
    "blind 16": 0.20881461451292174,
    "blind edges 120": 0.538010289146575,
}


def case(name: str) -> tuple[np.ndarray, np.ndarray, int]:
    """(n,) labels of 0 and 1, (n,) scores, and the largest buffer."""
    rng = np.random.default_rng(sum(name.encode()))
    labels = np.zeros(600, dtype=int)
    for begin, length in ((40, 9), (52, 3), (200, 40), (380, 1), (470, 25)):
        labels[begin : begin + length] = 1
    if "edges" in name:
        labels[:6] = labels[-4:] = 1
    if "close" in name:
        labels[100:200:5] = 1
    scores = rng.normal(size=len(labels)) + np.convolve(labels, np.ones(7) / 3, mode="same")
    if "ties" in name:
        scores = np.round(scores)
    if "constant" in name:
        scores = np.ones(len(labels))
    if "blind" in name:
        scores = rng.normal(size=len(labels))
    return labels, scores, int(name.rpartition(" ")[2])


if __name__ == "__main__":
    from vus.utils.metrics import metricor

    for name in REFERENCE:
        labels, scores, buffer = case(name)
        print(f'    "{name}": {float(metricor().RangeAUC_volume_opt(labels, scores, buffer)[-1])!r},')
