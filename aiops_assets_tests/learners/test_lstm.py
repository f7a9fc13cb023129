"""lstm-predictor beyond the contract of all window detectors: its training, its file, and what of it is continued."""

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from aiops_assets.errors import ModelError
from aiops_assets.learners.detectors import lstm_network
from aiops_assets.learners.detectors.lstm_autoencoder import LstmAutoencoder
from aiops_assets.timeseries.series import Floats
from aiops_assets_tests.learners.test_window_detectors import series, with_incident
from aiops_assets_tests.raising import raises

ROWS = 600
COLUMNS = ("metric_0", "metric_1", "metric_2")


def fitted(frame: pd.DataFrame, seed: int = 42, start: LstmAutoencoder | None = None) -> LstmAutoencoder:
    detector = LstmAutoencoder([name for name in frame.columns if name.startswith("metric_")], seed=seed)
    detector.fit([frame], start=start)
    return detector


def windows_of(values: Floats) -> Floats:
    """The windows that the documentation of the file speaks of, made here in another way."""
    return np.stack(
        [
            np.concatenate([np.full((max(16 - end, 0), values.shape[1]), np.nan), values[max(end - 16, 0) : end + 1]])
            for end in range(len(values))
        ]
    )


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    made = with_incident(series(n=900, columns=3), 800)
    made.iloc[700:706, 3] = np.nan
    return made


@pytest.fixture(scope="module")
def detector(frame: pd.DataFrame) -> LstmAutoencoder:
    return fitted(frame.iloc[:ROWS])


@pytest.fixture(scope="module")
def file(detector: LstmAutoencoder) -> bytes:
    return detector.to_bytes()


@pytest.mark.long
def test_a_seed_gives_one_model_and_the_callers_random_numbers_stay(
    frame: pd.DataFrame, detector: LstmAutoencoder
) -> None:
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    again, other = fitted(frame.iloc[:ROWS]), fitted(frame.iloc[:ROWS], seed=43)
    assert torch.equal(torch.random.get_rng_state(), before)
    expected = detector.score(frame)
    scored = again.score(frame)
    assert (scored.score == expected.score).all()
    assert (scored.contributions == expected.contributions).all()
    assert again.validation_losses == detector.validation_losses
    assert (other.score(frame).score != expected.score).any()


def waves(n: int) -> pd.DataFrame:
    """Three metrics that swing every two hours, one after the other."""
    phase = np.arange(n)[:, np.newaxis] / 12 * np.pi + np.arange(3)
    made = pd.DataFrame(np.sin(phase), columns=list(COLUMNS))
    made.insert(0, "timestamp", pd.date_range("2026-01-01", periods=n, freq="5min", tz="UTC"))
    return made


def test_training_learns_to_write_windows_out_and_goes_on_where_it_ended() -> None:
    swinging = waves(1400)
    detector = fitted(swinging.iloc[:1000])
    network = detector._network
    silent = lstm_network.Network(3)  # says "no signal" of every row
    silent.scale.copy_(network.scale)
    windows = lstm_network.Windows([swinging.loc[850:999, list(COLUMNS)].to_numpy()])
    with torch.no_grad():
        nothing = float(silent.loss(windows.ending(torch.from_numpy(windows.ends[0][16:]))))
    assert min(detector.validation_losses) < 0.3 * nothing
    continued, scratch = fitted(swinging.iloc[400:], start=detector), fitted(swinging.iloc[400:])
    assert continued.validation_losses[0] < 0.5 * scratch.validation_losses[0]
    assert len(continued.validation_losses) <= 1 + lstm_network.EPOCHS_WARM


def test_training_ends_early_without_progress(monkeypatch: pytest.MonkeyPatch, frame: pd.DataFrame) -> None:
    monkeypatch.setattr(lstm_network, "LEARNING_RATE", 0.0)
    losses = fitted(frame.iloc[:ROWS]).validation_losses
    assert len(losses) == 1 + lstm_network.PATIENCE < 1 + lstm_network.EPOCHS
    assert len(set(losses)) == 1


def test_the_weights_of_the_best_epoch_stay(monkeypatch: pytest.MonkeyPatch, frame: pd.DataFrame) -> None:
    monkeypatch.setattr(lstm_network, "LEARNING_RATE", 0.5)  # steps that jump about
    values = frame.loc[: ROWS - 1, list(COLUMNS)].to_numpy()
    network = lstm_network.new_network(np.ones((2, 3)), seed=1)
    windows = lstm_network.Windows([values])
    ends = torch.from_numpy(windows.ends[0])
    losses = lstm_network.train(network, windows, ends[:500], ends[500:], seed=1)
    assert min(losses) < losses[-1]
    with torch.no_grad():
        assert float(network.loss(windows.ending(ends[500:]))) == pytest.approx(min(losses), rel=1e-5)


@pytest.mark.long
def test_a_loaded_detector_goes_on_as_the_one_that_was_stored(
    frame: pd.DataFrame, detector: LstmAutoencoder, file: bytes
) -> None:
    newer = frame.iloc[300:]
    continued, loaded = fitted(newer, start=detector), fitted(newer, start=LstmAutoencoder.from_bytes(file))
    assert loaded.validation_losses == continued.validation_losses
    assert (loaded.score(frame).score == continued.score(frame).score).all()
    network, other = detector._network, continued._network
    assert torch.equal(network.scale, other.scale)  # the units of the signals go on too
    untouched = LstmAutoencoder.from_bytes(file).score(frame)
    assert (detector.score(frame).score == untouched.score).all()


def test_only_a_detector_of_the_same_shape_can_be_continued(frame: pd.DataFrame, detector: LstmAutoencoder) -> None:
    with raises(ModelError, "other_columns", before=COLUMNS, columns=(*COLUMNS, "metric_3"), differing=["metric_3"]):
        fitted(series(n=100, columns=4), start=detector)
    with raises(ModelError, "other_columns", before=COLUMNS, columns=COLUMNS[:2], differing=["metric_2"]):
        fitted(series(n=100, columns=2), start=detector)
    turned = LstmAutoencoder(COLUMNS[::-1])
    with raises(ModelError, "other_order", before=COLUMNS, columns=COLUMNS[::-1]):
        turned.fit([frame], start=detector)
    with raises(ModelError, "other_cadence", before=300, step_seconds=60):
        fitted(series(n=100, columns=3, step="1min"), start=detector)
    with raises(ModelError, "not_fitted"):
        fitted(frame, start=LstmAutoencoder(COLUMNS))


def test_the_file_gives_the_same_answers(frame: pd.DataFrame, detector: LstmAutoencoder, file: bytes) -> None:
    again = LstmAutoencoder.from_bytes(file)
    expected, scored = detector.score(frame), again.score(frame)
    np.testing.assert_allclose(scored.score, expected.score, rtol=0, atol=1e-5)
    np.testing.assert_allclose(scored.contributions, expected.contributions, rtol=0, atol=1e-5)
    assert (scored.alert == expected.alert).all()
    assert (again.columns, again.step_seconds, again.alert_budget, again.seed) == (COLUMNS, 300, 0.01, 42)
    assert again.to_bytes() == file


def test_the_file_names_no_place_of_the_machine_that_trained(file: bytes) -> None:
    places = [str(Path(module.__file__ or "").parents[1]) for module in (lstm_network, torch)]
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        for name in archive.namelist():
            content = archive.read(name)  # an archive among these is not compressed
            assert [place for place in (*places, ".py") if place.encode() in content] == [], name


ALONE = """
import sys
sys.modules["aiops_assets"] = None  # an import of it fails
import json, numpy, torch
extra = {"detector.json": ""}
program = torch.export.load(sys.argv[1], extra_files=extra).module()
windows = torch.from_numpy(numpy.load(sys.argv[2]))
assert json.loads(extra["detector.json"])["columns"] == ["metric_0", "metric_1", "metric_2"]
with torch.no_grad():
    parts = [program(windows[:1]), program(windows[1:3]), program(windows[3:])]
numpy.save(sys.argv[3], torch.cat(parts).numpy())
"""


@pytest.mark.long
def test_plain_pytorch_runs_the_file_without_this_package(
    tmp_path: Path, frame: pd.DataFrame, detector: LstmAutoencoder, file: bytes
) -> None:
    values = frame[list(COLUMNS)].to_numpy()
    (tmp_path / "model.pt2").write_bytes(file)
    np.save(tmp_path / "windows.npy", windows_of(values))
    paths = [str(tmp_path / name) for name in ("model.pt2", "windows.npy", "errors.npy")]
    environment = {**os.environ, "PYTHONPATH": "", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", ALONE, *paths], check=True, cwd=tmp_path, env=environment)
    network = detector._network
    expected = lstm_network.errors(network, values)
    assert np.isnan(expected[702, 0, 1])
    np.testing.assert_allclose(np.load(tmp_path / "errors.npy"), expected, rtol=0, atol=1e-5)


def rewritten(file: bytes, change: Callable[[str, bytes], bytes]) -> bytes:
    """The archive with some of its entries changed."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(file)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return out.getvalue()


def with_document(file: bytes, **changes: object) -> bytes:
    def change(name: str, content: bytes) -> bytes:
        return json.dumps({**json.loads(content), **changes}).encode() if name.endswith("detector.json") else content

    return rewritten(file, change)


def test_damaged_and_foreign_files_are_refused(file: bytes) -> None:
    at = file.index(b"archive/data/weights/weight_1") + 200
    flipped = file[:at] + bytes([file[at] ^ 0xFF]) + file[at + 1 :]
    foreign = io.BytesIO()
    torch.save({"weights": torch.zeros(3)}, foreign)
    for broken in (b"", b"\x80\x04", file[: len(file) // 2], flipped, foreign.getvalue()):
        with pytest.raises(ModelError, match="model file"):
            LstmAutoencoder.from_bytes(broken)


def test_files_of_another_content_are_refused(file: bytes) -> None:
    for changes in ({"format": 99}, {"window": 8}, {"signals": ["level"]}):
        with raises(ModelError, "other_format"):
            LstmAutoencoder.from_bytes(with_document(file, **changes))
    four = [[1.0]] * 4
    with pytest.raises(ModelError, match="were expected"):
        LstmAutoencoder.from_bytes(with_document(file, columns=["a"], quantile=four, mean=four, counters=[0.0]))
    for name, value in (("columns", []), ("quantile", [1.0]), ("middle", None), ("scores", []), ("spread", [0.0] * 6)):
        with pytest.raises(ModelError):
            LstmAutoencoder.from_bytes(with_document(file, **{name: value}))
    with pytest.raises(ModelError, match="not finite"):
        LstmAutoencoder.from_bytes(with_document(file, scores=[1.0, float("nan")]))

    def without_numbers(name: str, content: bytes) -> bytes:
        return b"\xff" * len(content) if name.endswith("weights/weight_0") else content

    with pytest.raises(ModelError, match="not finite"):
        LstmAutoencoder.from_bytes(rewritten(file, without_numbers))


@pytest.mark.parametrize("former", [1, 2])
def test_a_file_of_an_earlier_release_is_read(former: int, frame: pd.DataFrame, file: bytes) -> None:
    """The first had no scales of what is unusual now, the second those of three kinds."""
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        name = next(name for name in archive.namelist() if name.endswith("detector.json"))
        document = json.loads(archive.read(name))
    n = {1: 2, 2: 5}[former]
    scales = {one: [*document[one], document[one][0]][:n] for one in ("quantile", "mean")}
    detector = LstmAutoencoder.from_bytes(with_document(file, format=former, **scales))
    np.testing.assert_allclose(
        detector.score(frame).contributions, LstmAutoencoder.from_bytes(file).score(frame).contributions
    )
    assert "new_away" not in detector.kinds


class Trap:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


def test_nothing_in_a_file_is_run(tmp_path: Path, frame: pd.DataFrame, file: bytes) -> None:
    """Example inputs are a pickle, which torch.export.load would run."""
    trap = io.BytesIO()
    torch.save(Trap(tmp_path / "ran"), trap)

    def trapped(name: str, content: bytes) -> bytes:
        return trap.getvalue() if "sample_inputs" in name else content

    data = rewritten(file, trapped)
    LstmAutoencoder.from_bytes(data).score(frame)
    assert not (tmp_path / "ran").exists()
    torch.load(io.BytesIO(trap.getvalue()), weights_only=False)
    assert (tmp_path / "ran").exists()  # the trap is a real one


def test_no_score_depends_on_later_rows(frame: pd.DataFrame, detector: LstmAutoencoder) -> None:
    whole = detector.score(frame)
    for end in (1, 17, 513, 705, 801):
        other = frame.copy()
        other.iloc[end:, 2:] = -1e12
        for scored in (detector.score(frame.iloc[:end]), detector.score(other)):
            assert (scored.score[:end] == whole.score[:end]).all()
            assert (scored.alert[:end] == whole.alert[:end]).all()


@pytest.mark.parametrize(("rows", "value"), [(600, 0.5), (10, 0.5), (600, np.nan), (600, 1e30), (600, -0.1)])
def test_what_is_constant_short_or_unknown_raises_no_alert(
    detector: LstmAutoencoder, frame: pd.DataFrame, rows: int, value: float
) -> None:
    constant = frame[["timestamp"]].iloc[:rows].assign(**dict.fromkeys(COLUMNS, value))
    scored = detector.score(constant)
    assert np.isfinite(scored.score).all()
    assert not scored.alert.any()
    assert (scored.contributions == 0).all()


def test_the_metric_that_was_changed_contributes_first() -> None:
    right = []
    for seed in range(2):
        frame = series(n=2000, columns=8, seed=seed)
        rng = np.random.default_rng([seed, 9])
        begins = range(1100, 1960, 40)
        changed = rng.integers(0, 8, len(begins))
        for begin, metric in zip(begins, changed, strict=True):
            column = f"metric_{metric}"
            frame.loc[begin:begin, column] += 6 * frame.loc[:1000, column].diff().std()
        detector = LstmAutoencoder([f"metric_{i}" for i in range(8)])
        detector.fit([frame.iloc[:1000]])
        contributions = detector.score(frame).contributions
        total = contributions.sum(axis=1)
        assert (np.isclose(total, 1) | (total == 0)).all()
        right += list(contributions[begins].argmax(axis=1) == changed)
    assert len(right) == 44
    assert np.mean(right) >= 0.9


def test_a_thousand_columns_are_scored_in_blocks() -> None:
    wide = series(n=80, columns=1000)
    detector = LstmAutoencoder([f"metric_{i}" for i in range(1000)])
    detector.fit([wide.iloc[:40]])
    scored = detector.score(wide)
    assert scored.contributions.shape == (80, 1000)
    assert np.isfinite(scored.score).all()


def test_many_entities_of_a_few_rows_are_enough() -> None:
    frames = [series(n=4, columns=2, seed=seed) for seed in range(5)]
    detector = LstmAutoencoder(["metric_0", "metric_1"])
    detector.fit([frames[0].iloc[:0], *frames], step_seconds=300)
    assert np.isfinite(detector.score(frames[0]).score).all()


def test_a_gpu_says_what_a_cpu_says(monkeypatch: pytest.MonkeyPatch, frame: pd.DataFrame, file: bytes) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    on_gpu = LstmAutoencoder.from_bytes(file).score(frame)
    refitted = fitted(frame.iloc[:ROWS])
    monkeypatch.setattr(lstm_network, "device", lambda: torch.device("cpu"))
    on_cpu = LstmAutoencoder.from_bytes(file).score(frame)
    np.testing.assert_allclose(on_gpu.score, on_cpu.score, rtol=1e-3, atol=1e-3)
    assert min(refitted.validation_losses) == pytest.approx(min(fitted(frame.iloc[:ROWS]).validation_losses), rel=0.02)


def test_pytorch_is_imported_only_when_it_is_used() -> None:
    asked = "import sys, aiops_assets.judging.detection.backtest; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", asked], check=True)
