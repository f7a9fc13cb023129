"""The whole graph in process, on real stores and a real MLflow, with the instance file that is shipped."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from aiops_assets.judging.decision import Reason
from aiops_assets.pipeline.assets.trained import stated_skip
from aiops_assets.pipeline.definitions import definitions_for
from aiops_assets.pipeline.resources import StoresResource, stores_of, tracking_of
from aiops_assets.registry.lineage import LineageReader
from aiops_assets.settings import Settings
from aiops_assets.storage.records import Manifest, sha256
from aiops_assets_tests.pipeline.graph import (
    ENSEMBLE,
    NAME,
    VIEWS,
    Result,
    aside,
    asset,
    chain,
    checks,
    first_home,
    generate,
    metadata,
    remembered,
    small,
)
from aiops_assets_tests.snapshot import assert_snapshot

BOTH = ["synthetic_series", *(key for name in VIEWS for key in [*chain(name), *aside(name)])]
FILES = {NAME: "model.joblib", ENSEMBLE: "model.json"}


def materialize(settings: Settings, raise_on_error: bool = True) -> Result:
    """One model's chain: most of what is tested here is the same for all."""
    return generate(settings, NAME, raise_on_error=raise_on_error)


@pytest.fixture(scope="module")
def filled() -> tuple[Path, Result]:
    """A home with one served version of each model, and the run that made them."""
    (run,) = remembered(small(first_home()))
    return first_home(), run


@pytest.fixture
def home(filled: tuple[Path, Result], tmp_path: Path) -> Path:
    """A copy of the filled home, MLflow store and all, to be changed by a test."""
    shutil.copytree(filled[0], tmp_path / "home", symlinks=True)
    return tmp_path / "home"


def _reader(settings: Settings) -> LineageReader:
    stores = stores_of(settings)
    return LineageReader(stores.served(), stores.training_sets(), stores.lake(), tracking_of(settings).tracker())


@pytest.mark.parametrize(("name", "width"), [(NAME, 45), (ENSEMBLE, 5)])
def test_from_nothing_to_a_served_model(filled: tuple[Path, Result], name: str, width: int) -> None:
    home, result = filled
    order = [e.asset_key.to_user_string() for e in result.get_asset_materialization_events() if e.asset_key]
    assert sorted(order) == sorted(BOTH)
    assert [key for key in order if key in chain(name)] == chain(name)
    # Nobody waits for shadow and card: they come when both models are served.
    assert sorted(order[-4:]) == sorted([*aside(NAME), *aside(ENSEMBLE)])
    directory = home / "models" / name / "1"
    assert sorted(path.name for path in directory.iterdir()) == ["manifest.json", "manifest.json.sig", FILES[name]]
    manifest = Manifest.model_validate_json((directory / "manifest.json").read_bytes())
    assert manifest.files == {FILES[name]: sha256((directory / FILES[name]).read_bytes())}
    assert manifest.width == len(manifest.features) == width
    assert manifest.effective_source == "synthetic"
    assert {"average_precision", "false_alarm_rate", "recall_cpu_spike"} <= set(manifest.metrics)
    assert (home / "models" / name / "current").resolve() == directory.resolve()


def test_every_asset_shows_a_plot_and_a_description(filled: tuple[Path, Result]) -> None:
    for key in BOTH:
        assert str(metadata(filled[1], key)["plot"]).startswith("![plot](data:image/png;base64,")
    for spec in definitions_for(small(filled[0])).resolve_all_asset_specs():
        assert spec.description


@pytest.mark.parametrize("name", [NAME, ENSEMBLE])
def test_all_checks_ran_and_passed(filled: tuple[Path, Result], name: str) -> None:
    found = {check: evaluation.passed for check, evaluation in checks(filled[1], name).items()}
    of_rows = {
        *("schema", "bounds", "label_rate", "window_coverage", "known_metrics", "nodes", "missing_share"),
        *("effective_source", "outliers", "drift"),
    }
    of_model = {"smoke_prediction", "not_worse_than_champion", "something_is_served"}
    assert found == dict.fromkeys(of_rows | of_model, True)


@pytest.mark.parametrize("name", [NAME, ENSEMBLE])
def test_one_data_version_in_dagster_store_manifest_and_mlflow(filled: tuple[Path, Result], name: str) -> None:
    home, result = filled
    settings = small(home)
    chain = _reader(settings).trace(name)
    assert chain.verified, chain.problems
    event = result.asset_materializations_for_node(VIEWS[name])[0]
    assert (event.tags or {})["dagster/data_version"] == chain.data_version
    tracker = tracking_of(settings).tracker()
    assert tracker.dataset_digests(chain.run_id) == [chain.data_version]
    assert [entry.version for entry in tracker.versions_of_data(chain.data_version)] == [1]
    assert tracker.alias(name, "champion") == 1
    tags = tracker.run_tags(chain.run_id) or {}
    assert tags["dagster_run_id"] == chain.dagster_run_id == result.run_id
    assert tags["effective_source"] == chain.effective_source == "synthetic"
    assert {day.state for day in chain.days} == {"verified"}
    assert len(chain.days) == 3


def test_a_second_run_with_nothing_changed_skips_training_of_both(home: Path) -> None:
    settings = small(home)
    before = {path: path.read_bytes() for path in (home / "models").rglob("*.json")}
    result = generate(settings)
    for name in VIEWS:
        assert metadata(result, VIEWS[name])["reused"] is True
        assert metadata(result, asset("model", name))["training"] == stated_skip(1)
        assert metadata(result, asset("evaluation", name))["reason"] == Reason("already_champion", version=1).text
        assert checks(result, name)["not_worse_than_champion"].passed
        assert stores_of(settings).served().versions(name) == [1]
    assert {path: path.read_bytes() for path in (home / "models").rglob("*.json")} == before
    assert_snapshot("skipped_training", f"{stated_skip(1)}\n")


@pytest.mark.long
def test_one_seed_gives_equal_digests_and_another_does_not(tmp_path: Path) -> None:
    # In one process: a pickle also tells which of its strings were one object, which depends on what ran before.
    def digests(home: Path, name: str, **variables: str) -> tuple[str, str]:
        settings = small(home, **variables)
        manifest = stores_of(settings).served().manifest(name, 1)
        return manifest.data_version, manifest.files[FILES[name]]

    for home in ("first", "again"):
        generate(small(tmp_path / home), until="model")
    generate(small(tmp_path / "other", RANDOM_SEED="43"), until="model")
    for name in VIEWS:
        first = digests(tmp_path / "first", name)
        assert digests(tmp_path / "again", name) == first
        other = digests(tmp_path / "other", name, RANDOM_SEED="43")
        assert other[0] != first[0]
        assert other[1] != first[1]


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"DATA_SOURCE": "hybrid"}, "needs PROMETHEUS_URL"),
        ({"N_SAMPLES": "100000"}, "lower N_SAMPLES"),
        ({"MODEL_ROOT": "/dev/null/models"}, "set AIOPS_HOME or MODEL_ROOT elsewhere"),
    ],
)
def test_bad_input_stops_the_run_and_the_champion_stays(home: Path, variables: dict[str, str], message: str) -> None:
    result = materialize(small(home, RANDOM_SEED="5", **variables), raise_on_error=False)
    assert not result.success
    failure = next(event.step_failure_data for event in result.all_events if event.is_step_failure)
    assert failure.error
    assert message in (failure.error.cause or failure.error).message
    assert _reader(small(home)).trace(NAME).verified


def _flip(path: Path, position: int | None = None) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if position is None else position] ^= 1
    path.write_bytes(bytes(data))


def _training_set(home: Path) -> Path:
    return next((home / "training_sets").rglob("view=pod_features/*/rows.parquet")).parent


DAMAGES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "model": (lambda home: home / "models" / NAME / "1" / "model.joblib", "model.joblib"),
    "manifest": (lambda home: home / "models" / NAME / "1" / "manifest.json", "manifest"),
    "rows": (lambda home: _training_set(home) / "rows.parquet", "rows.parquet"),
    "record": (lambda home: _training_set(home) / "record.json", "record.json"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_one_flipped_byte_is_named_by_the_lineage(home: Path, what: str) -> None:
    path, name = DAMAGES[what]
    _flip(path(home), position=-4 if what == "manifest" else None)
    chain = _reader(small(home)).trace(NAME)
    assert not chain.verified
    assert name in chain.problems[0]


@pytest.mark.long
def test_file_and_manifest_replaced_together_are_refused_and_the_next_run_heals(home: Path) -> None:
    directory = home / "models" / NAME / "1"
    (directory / "model.joblib").write_bytes(b"evil")
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["files"]["model.joblib"] = sha256(b"evil")
    (directory / "manifest.json").write_text(json.dumps(manifest))
    settings = small(home)
    chain = _reader(settings).trace(NAME)
    assert "not the manifest that was recorded" in chain.problems[0]
    materialize(settings)
    record = stores_of(settings).served().champion(NAME)
    assert record
    assert record.champion.version == 2
    assert "cannot be served" in record.champion.reason
    assert _reader(settings).trace(NAME).verified


def test_mlflow_notices_when_the_champion_record_is_replaced_as_well(home: Path) -> None:
    directory = home / "models" / NAME / "1"
    manifest = json.loads((directory / "manifest.json").read_text()) | {"description": "evil"}
    (directory / "manifest.json").write_text(json.dumps(manifest))
    champion = json.loads((directory.parent / "champion.json").read_text())
    champion["champion"]["manifest_sha256"] = sha256((directory / "manifest.json").read_bytes())
    (directory.parent / "champion.json").write_text(json.dumps(champion))
    *signatures, last = _reader(small(home)).trace(NAME).problems
    assert "MLflow" in last
    assert [directory.name in problem or "champion.json" in problem for problem in signatures] == [True, True]


def test_a_version_that_mlflow_never_heard_of_is_registered_by_the_next_run(home: Path) -> None:
    shutil.rmtree(home / "mlflow")
    settings = small(home)
    assert "MLflow has no version 1" in _reader(settings).trace(NAME).problems[0]
    materialize(settings)
    assert tracking_of(settings).tracker().find(NAME, 1) is not None


@pytest.mark.long
def test_a_number_is_not_given_again_when_the_model_root_was_emptied(home: Path) -> None:
    shutil.rmtree(home / "models")
    materialize(small(home))
    assert stores_of(small(home)).served().versions(NAME) == [2]
    assert _reader(small(home)).trace(NAME).verified


def test_without_anomalies_nothing_is_judged_and_the_first_version_is_served(tmp_path: Path) -> None:
    result = materialize(small(tmp_path, ANOMALY_RATE="0"))
    assert result.success
    metrics = stores_of(small(tmp_path)).served().manifest(NAME, 1).metrics
    assert "false_alarm_rate" in metrics
    assert "average_precision" not in metrics


@pytest.mark.long
def test_another_cluster_gets_a_version_of_its_own(home: Path) -> None:
    settings = small(home, CLUSTER="second")
    materialize(settings)
    assert stores_of(settings).served().manifest(NAME, 2).cluster == "second"
    assert _reader(settings).trace(NAME).verified


@pytest.mark.long
def test_a_damaged_training_set_is_put_back_by_the_next_run(home: Path) -> None:
    _flip(_training_set(home) / "rows.parquet")
    materialize(small(home))
    assert _reader(small(home)).trace(NAME).verified


def test_a_foreign_file_in_the_served_directory_is_named(home: Path) -> None:
    (home / "models" / NAME / "1" / "second.pkl").write_bytes(b"evil")
    assert "second.pkl is in no manifest" in _reader(small(home)).trace(NAME).problems[0]


def test_asset_keys_are_the_same_in_every_environment(tmp_path: Path) -> None:
    keys = [
        definitions_for(small(tmp_path, AIOPS_ENV=name)).resolve_asset_graph().get_all_asset_keys()
        for name in ("dev", "ci", "staging", "production")
    ]
    assert all(found == keys[0] for found in keys)
    assert {key.to_user_string() for key in keys[0]} >= {"raw_metrics", "scores", *BOTH}


def test_resources_follow_the_settings(tmp_path: Path) -> None:
    settings = small(tmp_path, CLUSTER="prod-1", MODEL_ROOT="s3://bucket/models")
    stores = (definitions_for(settings).resources or {})["stores"]
    assert isinstance(stores, StoresResource)
    assert stores.model_root == "s3://bucket/models"
    assert tracking_of(settings).experiment == "aiops/prod-1"
