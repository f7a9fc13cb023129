"""Forecasters and the LSTM go the way of all models; retrains go on from the champion; sources of single models."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from aiops_assets.commands.running import selection
from aiops_assets.commands.summary import stated_source
from aiops_assets.datasets.selection import active_models
from aiops_assets.families.catalog import MODEL_NAMES, MODELS
from aiops_assets.learners.forecasters import direct
from aiops_assets.pipeline.definitions import definitions_for
from aiops_assets.pipeline.resources import stores_of, tracking_of
from aiops_assets.registry import champions
from aiops_assets.registry.lineage import LineageReader
from aiops_assets.registry.version import version_of
from aiops_assets.settings import Settings
from aiops_assets.storage.handoff import VersionRef
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.pipeline.counted_reads import counted, files_of, sets_of
from aiops_assets_tests.pipeline.graph import CLOSED, Result, asset, champion, metadata, newest, run

pytestmark = pytest.mark.long
PREDICTIVE, LSTM, ARIMA = "predictive-analytics", "lstm-predictor", "arima-predictor"
KINDS = ("model", "evaluation", "served", "shadow", "card")
small = partial(make_settings, TRAINING_DAYS="5", N_SAMPLES="500", TRAINING_PODS="5")


FITTED = ("synthetic_series", "cluster_metrics_synthetic", "model")
"""Ends of the keys of what ends with a version."""


@pytest.fixture(scope="module", autouse=True)
def _few_pairs() -> Iterator[None]:
    """A third of what predictive-analytics learns from."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(direct, "PAIRS", 10_000)
        patched.setattr(direct, "REMEMBERED_PAIRS", 5_000)
        yield


@pytest.fixture(scope="module")
def forecast(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Result]:
    settings = small(tmp_path_factory.mktemp("forecast"), MODELS=PREDICTIVE)
    return settings, run(settings)


def test_a_forecaster_is_trained_judged_served_and_has_a_card(forecast: tuple[Settings, Result]) -> None:
    settings, result = forecast
    assert result.success
    assert champion(settings, PREDICTIVE) == 1
    manifest = newest(settings, PREDICTIVE)
    assert manifest.view == "cluster_metrics"
    assert manifest.features == ("cpu_usage", "memory_usage", "disk_usage", "network_in", "network_out")
    assert manifest.units["cpu_usage"] == "cores"
    assert list(manifest.files) == ["model.aiops"]
    assert manifest.parameters["lookback_window"] == 24
    assert manifest.fit == "fitted anew: there was no champion"
    said = metadata(result, asset("evaluation", PREDICTIVE))
    assert str(said["reason"]).startswith("first version, better than the seasonal naive and the 24 h median")
    assert said["opponent"] == "the seasonal naive and the 24 h median"
    card = stores_of(settings).cards().text(PREDICTIVE, 1)
    assert "![" in card
    assert "anomalous" not in card
    folder = Path(stores_of(settings).cards().locate(PREDICTIVE, 1)).parent
    assert len(list(folder.glob("*.png"))) >= 2


def test_its_lineage_regenerates_the_days(forecast: tuple[Settings, Result]) -> None:
    settings, _ = forecast
    stores = stores_of(settings)
    tracker = tracking_of(settings).tracker()
    chain = LineageReader(stores.served(), stores.training_sets(), stores.lake(), tracker).trace(PREDICTIVE)
    assert chain.problems == ()
    assert [day.state for day in chain.days] == ["verified"] * 5


def test_a_second_run_has_nothing_to_do_and_a_new_window_goes_on_from_the_champion(
    forecast: tuple[Settings, Result],
) -> None:
    settings, _ = forecast
    assert str(metadata(run(settings), asset("model", PREDICTIVE))["training"]).startswith("skipped")
    later = small(settings.aiops_home, MODELS=PREDICTIVE, SYNTHETIC_END="2026-11-03")
    with counted(settings.aiops_home) as counts:
        result = run(later)
    fit = newest(later, PREDICTIVE).fit
    assert fit.startswith(
        ("warm start from version 1, not worse than the full refit", "fitted anew: a warm start from version")
    )
    assert metadata(result, asset("model", PREDICTIVE))["fit"] == fit
    # The champion, which the fit starts from, and its training set are known from the run before.
    files = files_of(later, [PREDICTIVE], 2)
    assert counts.read == dict.fromkeys([*files, *sets_of(later, [PREDICTIVE], 2)], 1)
    assert set(files.values()) <= counts.unpickled.keys()
    assert set(counts.unpickled.values()) == {1}
    served = stores_of(later).served()
    spec = next(spec for spec in MODELS if spec.name == PREDICTIVE)
    second = VersionRef(name=PREDICTIVE, version=2, manifest_sha256=served.manifest_sha256(PREDICTIVE, 2))
    model = version_of(served, spec, second).model()
    assert len(model.parts["history"].trees.stages) == (2 if fit.startswith("warm start") else 1)
    assert metadata(result, asset("evaluation", PREDICTIVE))["opponent"] == "champion version 1"


def test_each_model_may_have_a_source_of_its_own(tmp_path: Path) -> None:
    settings = small(
        tmp_path,
        MODELS=f"{LSTM},ensemble-predictor,{ARIMA}",
        DATA_SOURCE="prometheus",
        MODEL_SOURCES=f"{LSTM}=synthetic,{ARIMA}=synthetic",
        PROMETHEUS_URL=CLOSED,
        FALLBACK="fail",
    )
    keys = {key.to_user_string() for key in definitions_for(settings).resolve_asset_graph().get_all_asset_keys()}
    assert {name for name in keys if name.startswith(("pod_", "cluster_"))} == {
        "pod_series_synthetic",
        "pod_series",
        "cluster_metrics_synthetic",
    }
    assert {spec.name: spec.source for spec in active_models(settings)} == {
        LSTM: "synthetic",
        "ensemble-predictor": "",
        ARIMA: "synthetic",
    }
    assert selection(settings)[1] == "*"
    alone = small(tmp_path, MODELS=ARIMA, DATA_SOURCE="prometheus", MODEL_SOURCES=f"{ARIMA}=synthetic",
                  PROMETHEUS_URL=CLOSED)  # fmt: skip
    assert selection(alone)[1] == 'key:"synthetic_series"+'
    assert run(alone, FITTED).success
    assert newest(alone, ARIMA).effective_source == "synthetic"
    assert stated_source(alone) == "synthetic (1,440 synthetic rows of cluster_metrics_synthetic)"
    assert json.loads(newest(alone, ARIMA).model_dump_json())["source"]["asked"] == "synthetic"


def test_the_lstm_is_served_by_hand_and_goes_on_from_its_weights(tmp_path: Path) -> None:
    """On three generated days the null model ranks better, so that no run serves it."""
    settings = small(tmp_path, MODELS=LSTM, TRAINING_DAYS="3")
    assert run(settings).success
    stores, tracker = stores_of(settings), tracking_of(settings).tracker()
    assert stores.served().champion(LSTM) is None
    champions.promote(stores.served(), tracker, champions.model_named(LSTM), 1, reason="a test", who="pytest")
    assert champion(settings, LSTM) == 1
    assert list(newest(settings, LSTM).files) == ["model.pt2"]
    later = small(tmp_path, MODELS=LSTM, TRAINING_DAYS="3", SYNTHETIC_END="2026-11-02")
    assert run(later).success
    assert newest(later, LSTM).fit.startswith(
        ("warm start from version 1, not worse than the full refit", "fitted anew: a warm start from version 1 is")
    )


def test_all_models_are_in_the_graph_by_default(tmp_path: Path) -> None:
    keys = definitions_for(make_settings(tmp_path)).resolve_asset_graph().get_all_asset_keys()
    names = {key.to_user_string() for key in keys}
    assert {asset(kind, name) for kind in KINDS for name in MODEL_NAMES} <= names
    assert {name for name in names if name.startswith(("pod_", "cluster_"))} == {
        "pod_features",
        "pod_series",
        "cluster_metrics",
    }
