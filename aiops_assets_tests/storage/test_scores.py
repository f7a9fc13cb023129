"""Runs of scores in a folder and in a bucket."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from aiops_assets.errors import ConflictError, IntegrityError, NotFoundError
from aiops_assets.storage.explanations import EPISODE_COLUMNS, EPISODES, EXPLANATION_COLUMNS, EXPLANATIONS
from aiops_assets.storage.scores import (
    FORECASTS,
    KEPT,
    LATER,
    METADATA_KEY,
    PAGE_COLUMNS,
    PAGES,
    RECORD,
    SCORES,
    PredictingModel,
    Scores,
    ScoresRecord,
    ScoresRun,
)
from aiops_assets.storage.storage import LocalStorage, ObjectStorage, Storage
from aiops_assets_tests.raising import raises

NOON = datetime(2026, 11, 1, 12, 0, 30, 5, tzinfo=UTC)
FILES = (SCORES, FORECASTS, *(file for file, _ in LATER.values()))
UNTIL = pd.Timestamp("2026-11-01T11:55", tz="UTC").as_unit("us")


@pytest.fixture(params=["folder", "bucket"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return LocalStorage(tmp_path)
    from obstore.store import MemoryStore

    return ObjectStorage(MemoryStore(), "memory://")


def run(made_at: datetime = NOON, score: float = 0.25) -> ScoresRun:
    """One detector on two pods, one forecaster on one metric."""
    record = ScoresRecord(
        cluster="prod",
        made_at=made_at,
        source="prometheus",
        code_version="0",
        scored_until=UNTIL.to_pydatetime(),
        paged_until=UNTIL.to_pydatetime(),
        forecast_from=UNTIL.to_pydatetime(),
        pods=2,
        pods_version="p",
        cluster_version="c",
        models=(
            PredictingModel(
                name="detector", version=3, manifest_sha256="m", kind="detector", data_version="d",
                effective_source="prometheus+synthetic",
            ),
        ),
        left_out={"lstm-predictor": "nothing is served yet"},
    )  # fmt: skip
    scores = pd.DataFrame(
        {
            "timestamp": [UNTIL, UNTIL],
            "model_name": ["detector"] * 2,
            "model_version": [3, 3],
            "namespace": ["shop", "blog"],
            "pod": ["a", "b"],
            "workload": ["a", "b"],
            "anomaly_score": [score, -0.5],
            "is_anomaly": [True, False],
            "contributing_features": ['{"pod_cpu_usage": 0.75}', "{}"],
        }
    )
    forecasts = pd.DataFrame(
        {
            "made_at": [pd.Timestamp(made_at).as_unit("us")],
            "model_name": ["forecaster"],
            "model_version": [1],
            "metric_name": ["cpu_usage"],
            "predicted_for": [UNTIL + pd.Timedelta(hours=1)],
            "value": [0.5],
            "lower": [0.25],
            "upper": [1.0],
        }
    )
    pages = pd.DataFrame(
        {"timestamp": [UNTIL], "namespace": ["shop"], "pod": ["a"], "workload": ["a"], "node": [""], "metric": ["m"]}
    )
    subject = {"kind": "pod", "namespace": "shop", "pod": "a", "workload": "a", "node": "", "metric": "m"}
    sides = pd.DataFrame({"value": [0.5], "expected": [0.25], "lower": [0.0], "upper": [0.375]}, dtype="float32")
    rows = sides.assign(timestamp=UNTIL, **subject)[list(EXPLANATION_COLUMNS)]
    episodes = pd.DataFrame([subject | {"raised_by": "page", "since": UNTIL, "until": UNTIL}])[list(EPISODE_COLUMNS)]
    return ScoresRun(record, scores, forecasts, pages, explanations=rows, episodes=episodes)


def test_a_run_comes_back_as_it_was_with_what_it_is_of(storage: Storage) -> None:
    kept = Scores(storage, "prod")
    assert kept.newest() is None
    stored = run()
    record, gone = kept.put(stored)
    assert gone == []
    assert kept.names() == ["2026-11-01T120030.000005Z"]
    assert sorted(storage.names(f"scores/cluster=prod/{kept.names()[0]}")) == sorted([*FILES, RECORD])
    found = kept.newest()
    assert found
    assert found.record == record
    assert record.model_copy(update={"files": {}}) == stored.record
    assert record.files.keys() == set(FILES)
    pd.testing.assert_frame_equal(found.scores, stored.scores)
    pd.testing.assert_frame_equal(found.forecasts, stored.forecasts)
    pd.testing.assert_frame_equal(found.pages, stored.pages)
    pd.testing.assert_frame_equal(found.explanations, stored.explanations)
    pd.testing.assert_frame_equal(found.episodes, stored.episodes)
    assert Scores(storage, "other").newest() is None


def test_a_run_of_a_release_that_did_not_know_namespaces_is_read(tmp_path: Path) -> None:
    kept, stored = Scores(LocalStorage(tmp_path), "prod"), run()
    former = stored.scores.drop(columns=["namespace", "workload"])
    kept.put(ScoresRun(stored.record, former, stored.forecasts))
    found = kept.newest()
    assert found
    pd.testing.assert_frame_equal(found.scores, stored.scores.assign(namespace="", workload=""))


@pytest.mark.parametrize(
    ("file", "part", "columns"),
    [
        (PAGES, "pages", PAGE_COLUMNS),
        (EXPLANATIONS, "explanations", EXPLANATION_COLUMNS),
        (EPISODES, "episodes", EPISODE_COLUMNS),
    ],
)
def test_a_run_of_a_release_that_did_not_know_a_file_has_no_rows_of_it(
    tmp_path: Path, file: str, part: str, columns: tuple[str, ...]
) -> None:
    kept = Scores(LocalStorage(tmp_path), "prod")
    record, _ = kept.put(run())
    folder = Path(kept.locate(kept.names()[0]))
    (folder / file).unlink()
    files = {name: digest for name, digest in record.files.items() if name != file}
    (folder / RECORD).write_bytes(record.model_copy(update={"files": files}).to_bytes())
    found = kept.newest()
    assert found
    assert getattr(found, part).empty
    assert list(getattr(found, part).columns) == list(columns)
    assert len(kept.newest_episodes(NOON + timedelta(hours=1))) == (file != EPISODES)


def test_a_run_of_a_release_that_did_not_know_metrics_of_ones_own_has_none(tmp_path: Path) -> None:
    kept = Scores(LocalStorage(tmp_path), "prod")
    record, _ = kept.put(run())
    files = {name: digest for name, digest in record.files.items() if name in (SCORES, FORECASTS, PAGES)}
    (Path(kept.locate(kept.names()[0])) / RECORD).write_bytes(record.model_copy(update={"files": files}).to_bytes())
    found = kept.newest()
    assert found
    assert all(frame.empty for frame in (found.metrics, found.ahead, found.silence))


def test_a_run_with_a_column_less_than_any_release_wrote_is_damaged(tmp_path: Path) -> None:
    kept, stored = Scores(LocalStorage(tmp_path), "prod"), run()
    kept.put(ScoresRun(stored.record, stored.scores.drop(columns="is_anomaly"), stored.forecasts))
    with raises(IntegrityError, "damaged_file", run=kept.names()[0], file=SCORES):
        kept.newest()


def test_each_file_says_of_what_it_is(tmp_path: Path) -> None:
    kept = Scores(LocalStorage(tmp_path), "prod")
    kept.put(run())
    for file in FILES:
        metadata = pq.read_schema(Path(kept.locate(kept.names()[0])) / file).metadata
        assert ScoresRecord.model_validate_json(metadata[METADATA_KEY]) == run().record


def test_the_newest_run_counts_and_those_of_a_week_ago_go(storage: Storage) -> None:
    kept = Scores(storage, "prod")
    kept.put(run(NOON - KEPT - timedelta(minutes=1)))
    kept.put(run(NOON - KEPT, score=0.5))
    _, gone = kept.put(run(NOON, score=0.75))
    assert gone == ["2026-10-25T115930.000005Z"]
    assert kept.names() == ["2026-10-25T120030.000005Z", "2026-11-01T120030.000005Z"]
    newest = kept.newest()
    assert newest
    assert newest.scores["anomaly_score"].tolist() == [0.75, -0.5]


def test_names_are_of_universal_time(storage: Storage) -> None:
    kept = Scores(storage, "prod")
    east = datetime.fromisoformat("2026-11-01T14:00:30.000005+02:00")
    kept.put(run(east))
    assert kept.names() == ["2026-11-01T120030.000005Z"]
    with pytest.raises(ConflictError):
        kept.put(run(NOON))


def test_a_run_without_its_record_is_not_there_yet(tmp_path: Path) -> None:
    """A bucket has no rename: a run that is being written shows its files first."""
    kept = Scores(LocalStorage(tmp_path), "prod")
    kept.put(run())
    half = tmp_path / "scores" / "cluster=prod" / "2026-11-01T121500.000000Z"
    half.mkdir()
    (half / SCORES).write_bytes(b"PAR1")
    (half.parent / "notes").mkdir()
    newest = kept.newest()
    assert newest
    assert newest.record.made_at == NOON
    with pytest.raises(NotFoundError):
        kept.read(half.name)


@pytest.mark.parametrize("file", [SCORES, FORECASTS, PAGES, RECORD])
@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_a_damaged_file_is_named(tmp_path: Path, file: str, damage: str) -> None:
    kept = Scores(LocalStorage(tmp_path), "prod")
    kept.put(run())
    path = Path(kept.locate(kept.names()[0])) / file
    data = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
        if file == RECORD:
            assert kept.newest() is None
            return
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data) if damage == "flipped" and file != RECORD else bytes(data[:-20]))
    with raises(IntegrityError, "damaged_file", run=kept.names()[0], file=file):
        kept.newest()


def test_a_run_under_another_name_or_of_another_cluster_is_named(tmp_path: Path) -> None:
    kept = Scores(LocalStorage(tmp_path), "prod")
    kept.put(run())
    folder = tmp_path / "scores" / "cluster=prod"
    (folder / kept.names()[0]).rename(folder / "2026-11-01T121500.000000Z")
    with pytest.raises(IntegrityError, match=r"holds 2026-11-01T120030\.000005Z of prod"):
        kept.newest()
    folder.rename(tmp_path / "scores" / "cluster=second")
    with pytest.raises(IntegrityError, match="of prod"):
        Scores(LocalStorage(tmp_path), "second").newest()
