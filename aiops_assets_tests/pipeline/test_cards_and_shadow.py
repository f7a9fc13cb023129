"""Shadow scores and cards of two versions, made by the real graph."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from aiops_assets.families.ensemble_predictor import ENSEMBLE_PREDICTOR
from aiops_assets.judging.detection.shadow import compare
from aiops_assets.pipeline.resources import stores_of, tracking_of
from aiops_assets.registry import champions
from aiops_assets.settings import Settings
from aiops_assets_tests.pipeline.graph import (
    ENSEMBLE,
    NAME,
    VIEWS,
    Result,
    aside,
    asset,
    champion,
    generate,
    metadata,
    remembered,
    small,
    told_home,
)

DAY = "2026-11-01"


@pytest.fixture(scope="module")
def filled() -> tuple[Path, list[Result]]:
    """A home with two versions of each model, made of two seeds, and the runs that made them."""
    return told_home(), remembered(small(told_home()))


@pytest.fixture
def home(filled: tuple[Path, list[Result]], tmp_path: Path) -> Path:
    shutil.copytree(filled[0], tmp_path / "home", symlinks=True)
    return tmp_path / "home"


def _newer(home: Path) -> Settings:
    return small(home, RANDOM_SEED="44")


@pytest.mark.parametrize("name", [NAME, ENSEMBLE])
def test_a_window_is_kept_for_each_pair_of_versions(filled: tuple[Path, list[Result]], name: str) -> None:
    home, (first, second) = filled
    stores = stores_of(small(home))
    shadow, served = stores.shadow(), stores.served()
    assert shadow.files(name) == [f"{DAY}__v1__v0.parquet", f"{DAY}__v2__v1.parquet"]
    alone, scores = shadow.read(name, f"{DAY}__v1__v0.parquet")
    assert (alone.champion_sha256, alone.is_pair, alone.note) == ("", False, "")
    assert compare(scores).champion is None
    pair, scores = shadow.read(name, f"{DAY}__v2__v1.parquet")
    assert pair.is_pair
    assert pair.challenger_sha256 == served.manifest_sha256(name, 2)
    assert pair.champion_sha256 == served.manifest_sha256(name, 1)
    assert pair.data_version == served.manifest(name, 2).data_version
    # The figures are those that the gate decided by: the same models on the same rows.
    both, evaluation = compare(scores), served.evaluation(name, 2)
    assert evaluation
    assert both.champion
    assert both.challenger.as_metrics() == pytest.approx(evaluation.figures)
    assert both.champion.as_metrics() == pytest.approx(evaluation.opponent_figures)
    assert evaluation.opponent == "champion version 1"
    shown = metadata(second, asset("shadow", name))
    assert (shown["challenger"], shown["champion"], shown["rows"]) == (2, 1, evaluation.holdout_rows)
    assert shown["alerts_agree"] == both.alerts_agree
    assert shown["challenger_average_precision"] == both.challenger.average_precision
    assert metadata(first, asset("shadow", name))["champion"] == "none"
    # Of each row that people would look at, some metric speaks loudest.
    looked_at = (scores["label"] == 1) | scores["challenger_alert"]
    assert set(scores.loc[~looked_at, "challenger_first"]) == {""}
    assert set(scores.loc[looked_at, "challenger_first"]) <= {*pair.metrics, ""}
    assert (scores.loc[scores["challenger_alert"], "challenger_first"] != "").mean() > 0.9


@pytest.mark.parametrize("name", [NAME, ENSEMBLE])
def test_each_version_has_a_card_in_the_store_and_in_mlflow(filled: tuple[Path, list[Result]], name: str) -> None:
    home, runs = filled
    stores, tracker = stores_of(small(home)), tracking_of(small(home)).tracker()
    for version, run in zip((1, 2), runs, strict=True):
        card, manifest = stores.cards().text(name, version), stores.served().manifest(name, version)
        evaluation = stores.served().evaluation(name, version)
        assert evaluation
        for fact in (manifest.data_version, manifest.run_id, manifest.fingerprint, *manifest.files.values()):
            assert f"`{fact}`" in card or f"'{fact}'" in card
        assert stores.served().manifest_sha256(name, version) in card
        assert f"Opponent: {evaluation.opponent}" in card
        folder = home / "models" / name / "cards" / str(version)
        files = sorted(path.name for path in folder.iterdir())
        assert files == ["card.md", "contributions.png", "figures.png", "timeline.png"]
        client, _ = tracker._mlflow.open()
        assert sorted(file.path for file in client.list_artifacts(manifest.run_id, "card")) == [
            f"card/{file}" for file in files
        ]
        shown = metadata(run, asset("card", name))
        assert shown["mlflow"] == f"{manifest.run_url} (card/)"
        assert shown["dagster/uri"] == str(folder / "card.md")
        assert str(shown["card"]).startswith(f"# {name}, version {version}\n")
        assert "![" not in str(shown["card"])
    assert stores.served().versions(name) == [1, 2]
    assert sorted(path.name for path in (home / "models" / name / "2").iterdir()) == sorted(
        ["manifest.json", "manifest.json.sig", champions.model_named(name).family.model_file]
    )


def test_the_code_of_a_card_loads_its_model(filled: tuple[Path, list[Result]]) -> None:
    for name in VIEWS:
        card = stores_of(small(filled[0])).cards().text(name, 2)
        found: dict[str, object] = {}
        exec(card.partition("```python\n")[2].partition("```")[0], found)
        assert type(found["model"]).__name__ in ("Pipeline", "EnsemblePredictor")


@pytest.mark.long
def test_with_nothing_new_the_champion_stands_alone_and_the_card_stays(
    filled: tuple[Path, list[Result]], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _newer(home)
    assert champion(settings, ENSEMBLE) == 2
    stores = stores_of(settings)
    before = stores.cards().text(ENSEMBLE, 2)
    generate(settings, ENSEMBLE, told=True)
    assert stores.shadow().files(ENSEMBLE)[-1] == f"{DAY}__v2__v2.parquet"
    record, scores = stores.shadow().read(ENSEMBLE, f"{DAY}__v2__v2.parquet")
    assert not record.is_pair
    assert scores["champion_score"].tolist() == scores["challenger_score"].tolist()
    # This test works on a copy, at another place.
    assert stores.cards().text(ENSEMBLE, 2).replace(str(home), str(filled[0])) == before
    # Once more: what is kept is not scored again.
    written = stores.shadow().storage.read(f"{stores.shadow().folder(ENSEMBLE)}/{record.file_name}")
    monkeypatch.setattr("aiops_assets.pipeline.assets.shadow.score_window", lambda *_: pytest.fail("scored again"))
    result = generate(settings, ENSEMBLE, told=True)
    assert metadata(result, asset("shadow", ENSEMBLE))["alerts_agree"] == 1.0
    assert stores.shadow().storage.read(f"{stores.shadow().folder(ENSEMBLE)}/{record.file_name}") == written


def test_a_refused_challenger_runs_in_the_shadow_of_the_champion_that_people_chose(home: Path) -> None:
    settings = _newer(home)
    stores, tracker = stores_of(settings), tracking_of(settings).tracker()
    champions.rollback(stores.served(), tracker, ENSEMBLE_PREDICTOR, None, reason="pages at night", who="ada")
    generate(settings, ENSEMBLE, told=True)
    assert champion(settings, ENSEMBLE) == 1
    assert stores.shadow().read(ENSEMBLE, f"{DAY}__v2__v1.parquet")[0].is_pair
    card = stores.cards().text(ENSEMBLE, 2)
    assert "Decision: **keep**: ensemble-predictor version 2 was rolled back by ada" in card


@pytest.mark.long
def test_a_champion_that_cannot_be_loaded_is_passed_over_with_a_note(home: Path) -> None:
    (home / "models" / ENSEMBLE / "2" / "model.json").write_bytes(b"{}")
    settings = small(home, RANDOM_SEED="45")
    result = generate(settings, ENSEMBLE, told=True)
    assert champion(settings, ENSEMBLE) == 3
    record, scores = stores_of(settings).shadow().read(ENSEMBLE, f"{DAY}__v3__v2.parquet")
    assert "model.json is not the file its manifest names" in record.note
    assert scores["champion_score"].isna().all()
    shown = metadata(result, asset("shadow", ENSEMBLE))
    assert shown["note"] == record.note
    assert "alerts_agree" not in shown
    assert "cannot be served" in stores_of(settings).cards().text(ENSEMBLE, 3)


@pytest.mark.long
def test_a_shadow_or_a_card_that_fails_keeps_nobody_from_being_served(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no space for shadows")

    monkeypatch.setattr("aiops_assets.pipeline.assets.shadow.score_window", fails)
    settings = small(home, RANDOM_SEED="46")
    result = generate(settings, ENSEMBLE, told=True, raise_on_error=False)
    assert not result.success
    assert champion(settings, ENSEMBLE) == 3
    done = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key}
    assert asset("served", ENSEMBLE) in done
    assert not done & set(aside(ENSEMBLE))


@pytest.mark.long
def test_a_run_that_mlflow_lost_costs_no_card(home: Path) -> None:
    settings = _newer(home)
    stores = stores_of(settings)
    manifest = stores.served().manifest(ENSEMBLE, 2)
    shutil.rmtree(home / "models" / ENSEMBLE / "cards")
    client, _ = tracking_of(settings).tracker()._mlflow.open()
    client.delete_run(manifest.run_id)
    store: Any = client._tracking_client.store
    store._hard_delete_run(manifest.run_id)
    result = generate(settings, ENSEMBLE, told=True)
    assert stores.cards().versions(ENSEMBLE) == [2]
    assert metadata(result, asset("card", ENSEMBLE))["mlflow"] == f"not kept there: MLflow has no run {manifest.run_id}"
