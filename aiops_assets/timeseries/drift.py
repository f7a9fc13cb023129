"""How far two training sets lie apart."""

import numpy as np
import pandas as pd

NOTABLE_PSI = 0.25
"""The index is read by convention: below 0.1 nothing moved, above 0.25 there is a shift that wants a look."""


def population_stability(reference: pd.Series, current: pd.Series, bins: int = 10) -> float:
    """Population stability index of two samples of one quantity, 0 (same) upwards.

    Bins are quantiles of the reference; PSI = sum((p - q) ln(p / q)) over bins (Siddiqi, "Credit Risk
    Scorecards", 2006). Empty bins count as half a row.
    """
    edges = np.unique(np.quantile(reference, np.linspace(0, 1, bins + 1)[1:-1]))
    shares = []
    for sample in (reference, current):
        counts = np.bincount(np.searchsorted(edges, sample, side="right"), minlength=len(edges) + 1)
        shares.append(np.maximum(counts, 0.5) / len(sample))
    p, q = shares
    return float(np.sum((p - q) * np.log(p / q)))


def drifted(reference: pd.DataFrame, current: pd.DataFrame, columns: list[str]) -> dict[str, float]:
    """Column -> index, for the columns that moved notably; missing values do not count."""
    indices = {
        name: population_stability(before, now)
        for name in columns
        if len(before := reference[name].dropna()) and len(now := current[name].dropna())
    }
    return {name: index for name, index in indices.items() if index > NOTABLE_PSI}
