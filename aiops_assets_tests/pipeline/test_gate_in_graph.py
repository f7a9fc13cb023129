"""Worse, better, equal, vetoed: what the gate makes of real challengers in the real graph."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from dagster import AssetCheckSeverity

from aiops_assets.commands.summary import summarize
from aiops_assets.families.anomaly_detector import ANOMALY_DETECTOR, RowForest
from aiops_assets.families.catalog import MODELS
from aiops_assets.families.ensemble_predictor import ENSEMBLE_PREDICTOR, WindowEnsemble
from aiops_assets.judging.detection.gate import NULL_MODEL
from aiops_assets.pipeline.assets.served import NOTHING_SERVED
from aiops_assets.pipeline.resources import stores_of, tracking_of
from aiops_assets.registry import champions
from aiops_assets.settings import Settings
from aiops_assets.timeseries.features import FEATURES
from aiops_assets_tests.pipeline.graph import (
    ENSEMBLE,
    NAME,
    asset,
    champion,
    checks,
    first_home,
    generate,
    metadata,
    newest,
    small,
)

SPECS = {NAME: ANOMALY_DETECTOR, ENSEMBLE: ENSEMBLE_PREDICTOR}
Fit = Callable[[Any, pd.DataFrame, Mapping[str, object], int], Any]
FOREST, WINDOWS = RowForest.fit, WindowEnsemble.fit


def blind(family: RowForest, rows: pd.DataFrame, parameters: Mapping[str, object], seed: int, start: Any = None) -> Any:
    """All it ever saw is one row."""
    return FOREST(family, rows.assign(**dict.fromkeys(FEATURES, 0.4)), parameters, seed)


def shuffled(
    family: RowForest, rows: pd.DataFrame, parameters: Mapping[str, object], seed: int, start: Any = None
) -> Any:
    """It takes each column for another one."""
    names = list(np.random.default_rng(1).permutation(FEATURES))
    return FOREST(family, rows.assign(**dict(zip(FEATURES, rows[names].to_numpy().T, strict=True))), parameters, seed)


def loud(
    family: WindowEnsemble, rows: pd.DataFrame, parameters: Mapping[str, object], seed: int, start: Any = None
) -> Any:
    """It alerts most of the time, whether or not something is unusual now."""
    model = WINDOWS(family, rows, {**parameters, "alert_budget": 0.5}, seed)
    model._calibration = replace(model._require_fitted(), now=np.zeros(0))
    return model


@pytest.fixture
def home(tmp_path: Path) -> Path:
    shutil.copytree(first_home(), tmp_path / "home", symlinks=True)
    return tmp_path / "home"


@pytest.mark.parametrize(
    ("name", "family", "fit"),
    [
        (NAME, RowForest, blind),
        pytest.param(NAME, RowForest, shuffled, marks=pytest.mark.long),
        pytest.param(ENSEMBLE, WindowEnsemble, loud, marks=pytest.mark.long),
    ],
)
def test_a_worse_challenger_is_kept_out_with_a_warning(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str, family: type, fit: Fit
) -> None:
    monkeypatch.setattr(family, "fit", fit)
    settings = small(home, RANDOM_SEED="43")
    result = generate(settings, name)
    assert result.success
    decision = checks(result, name)["not_worse_than_champion"]
    assert (decision.passed, decision.severity) == (False, AssetCheckSeverity.WARN)
    served = stores_of(settings).served()
    assert served.versions(name) == [1, 2]
    assert champion(settings, name) == 1
    shown = metadata(result, asset("evaluation", name))
    assert (shown["decision"], shown["opponent"]) == ("keep", "champion version 1")
    record = served.evaluation(name, 2)
    assert record
    assert (record.decision, record.opponent, record.reason) == ("keep", "champion version 1", decision.description)
    assert record.code == "worse_than_opponent"
    assert record.reason == f"{record.head}: {record.stated_figures}"
    assert record.figures == newest(settings, name).metrics
    assert record.opponent_figures["false_alarm_rate"] == shown["opponent_false_alarm_rate"]
    assert record.holdout_rows == shown["holdout_rows"]
    gap = record.gaps["average_precision"]
    assert gap
    assert gap.low <= gap.value <= gap.high
    # Nothing changed: the same challenger comes before the gate again, with the same end, and is not fitted again.
    again = generate(settings, name)
    assert metadata(again, asset("model", name))["training"].startswith("skipped")  # type: ignore[attr-defined]
    assert metadata(again, asset("evaluation", name))["reason"] == decision.description


def why(settings: Settings, version: int, name: str = NAME) -> str:
    """The code of the reason of a version's evaluation."""
    record = stores_of(settings).served().evaluation(name, version)
    return record.code if record else ""


@pytest.mark.parametrize("name", [NAME, pytest.param(ENSEMBLE, marks=pytest.mark.long)])
def test_one_that_is_not_worse_is_served(home: Path, name: str) -> None:
    settings = small(home, RANDOM_SEED="44")
    result = generate(settings, name)
    assert checks(result, name)["not_worse_than_champion"].passed
    assert champion(settings, name) == 2
    record = stores_of(settings).served().evaluation(name, 2)
    assert record
    assert (record.code, record.opponent) == ("not_worse", "champion version 1")
    assert metadata(result, asset("served", name))["reason"] == record.reason
    assert tracking_of(settings).tracker().alias(name, "champion") == 2


@pytest.mark.long
def test_a_first_version_that_is_no_good_leaves_nothing_served_until_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = small(tmp_path)
    before: dict[str, list[int]] = {spec.name: [] for spec in MODELS}
    with monkeypatch.context() as patched:
        patched.setattr(RowForest, "fit", blind)
        patched.setattr(WindowEnsemble, "fit", loud)
        result = generate(settings)
        assert result.success
        for name, code in ((NAME, "not_better_than_guessing"), (ENSEMBLE, "worse_than_opponent")):
            shown, record = metadata(result, asset("served", name)), stores_of(settings).served().evaluation(name, 1)
            assert record
            assert (record.code, record.opponent) == (code, NULL_MODEL)
            assert (shown["champion"], shown["reason"]) == (NOTHING_SERVED, record.reason)
            there = checks(result, name)["something_is_served"]
            assert (there.passed, there.severity) == (False, AssetCheckSeverity.WARN)
            assert stores_of(settings).served().champion(name) is None
    summarize(settings, before)
    said = capsys.readouterr().out
    for name in SPECS:
        record = stores_of(settings).served().evaluation(name, 1)
        assert record
        (line,) = (line for line in said.splitlines() if line.startswith(f"{name} "))
        assert record.reason in line
    good = small(tmp_path, RANDOM_SEED="43")
    result = generate(good)
    for name in SPECS:
        assert champion(good, name) == 2
        assert checks(result, name)["something_is_served"].passed


@pytest.mark.long
def test_a_version_that_people_rolled_back_is_not_served_again(home: Path) -> None:
    settings = small(home, RANDOM_SEED="44")
    generate(settings, NAME)
    served, tracker = stores_of(settings).served(), tracking_of(settings).tracker()
    champions.rollback(served, tracker, ANOMALY_DETECTOR, None, reason="it slept: through an outage", who="ada")
    result = generate(settings, NAME)
    assert champions.veto_on(served, NAME, 2)
    assert why(settings, 2) == "vetoed"
    reason = checks(result)["not_worse_than_champion"].description or ""
    assert "it slept: through an outage" in reason
    assert f"`aiops promote {NAME} 2`" in reason
    assert champion(settings) == 1
    # A fit of the same rows to the same bytes is no way around it.
    manifest = home / "models" / NAME / "2" / "manifest.json"
    shutil.copytree(manifest.parent, home / "aside")
    shutil.rmtree(manifest.parent)
    result = generate(settings, NAME)
    assert champion(settings) == 1
    assert why(settings, newest(settings).version) == "vetoed"


@pytest.mark.long
def test_what_disagrees_with_the_champion_record_is_mended_and_said(home: Path) -> None:
    settings = small(home)
    (home / "models" / NAME / "current").unlink()
    result = generate(settings, NAME)
    assert "current" in str(metadata(result, asset("served", NAME))["repaired"])
    assert (home / "models" / NAME / "current").resolve().name == "1"
    record = home / "models" / NAME / "champion.json"
    record.write_text("{")
    result = generate(settings, NAME)
    assert "champion.json" in str(metadata(result, asset("model", NAME))["repaired"])
    assert champion(settings) == 1
    assert "repaired" not in metadata(generate(settings, NAME), asset("served", NAME))


@pytest.mark.long
def test_old_versions_are_retired_by_the_run(home: Path) -> None:
    settings = small(home, KEEP_VERSIONS="2")
    for seed in ("43", "44", "45"):
        generate(small(home, KEEP_VERSIONS="2", RANDOM_SEED=seed), NAME)
    left = stores_of(settings).served().versions(NAME)
    assert left[-2:] == [3, 4]
    assert len(left) <= 4
    assert 1 not in left or champion(settings) == 1
    assert champion(settings) in left
