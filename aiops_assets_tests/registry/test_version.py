"""A version that was loaded is shared by its process, and looked at again each time it is used."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiops_assets.errors import IntegrityError, ModelError, NotFoundError
from aiops_assets.families.catalog import MODELS
from aiops_assets.families.predictive_analytics import PREDICTIVE_ANALYTICS
from aiops_assets.registry.version import MAX_VERSIONS, Version
from aiops_assets.storage.handoff import VersionRef
from aiops_assets_tests.raising import raises
from aiops_assets_tests.registry.champion_home import ChampionHome, alarming_file, holdout_rows, trap_file
from aiops_assets_tests.service.served_home import ServedHome
from aiops_assets_tests.service.served_home import model_file as fitted_file

USES: dict[str, Callable[[Version[Any, Any]], object]] = {
    "verify": Version.verify,
    "model": Version.model,
    "smoke test": Version.smoke_test,
    "hold-out": lambda version: version.predict_holdout(holdout_rows(), "d"),
    "servable": Version.require_servable,
}


def test_all_of_a_process_share_a_model_and_a_pool_has_its_own(home: ChampionHome) -> None:
    version = home.version(2)
    assert home.version(2).model() is version.model()
    assert home.version(1).beside(VersionRef(name=home.name, version=2, manifest_sha256=version.digest)).model() is (
        version.model()
    )
    assert home.version(1).model() is not version.model()
    assert Version(home.served, home.spec, home.champion_move()).model() is not version.model()


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("file", ["manifest.json", "model.joblib"])
def test_a_version_that_is_changed_after_it_was_loaded_is_refused_until_it_is_put_back(
    home: ChampionHome, use: str, file: str
) -> None:
    version = home.version(2)
    version.predict_holdout(holdout_rows(), "d")
    path = home.model_folder / "2" / file
    good = path.read_bytes()
    with path.open("r+b") as changed:
        changed.write(bytes([good[0] ^ 1]))
    for _ in range(2):
        with pytest.raises(IntegrityError):
            USES[use](version)
        assert version.load_problem()
    path.unlink()
    with pytest.raises((NotFoundError, IntegrityError)):
        USES[use](version)
    path.write_bytes(good)
    USES[use](version)
    assert version.load_problem() == ""


def test_a_hold_out_is_predicted_once_for_each_data_version(home: ChampionHome) -> None:
    version, rows = home.version(2), holdout_rows()
    first = version.predict_holdout(rows, "d")
    assert home.version(2).predict_holdout(rows, "d") is first
    assert version.predict_holdout(rows, "e") is not first


def test_a_version_that_was_only_verified_is_unpickled_later_from_the_same_reading(
    home: ChampionHome, tmp_path: Path
) -> None:
    touched = tmp_path / "touched"
    version = home.version(home.add(trap_file(touched)))
    version.verify()
    assert not touched.exists()
    (home.model_folder / str(version.number) / "model.joblib").write_bytes(b"changed")
    with pytest.raises(IntegrityError):
        version.model()
    assert not touched.exists()


def test_a_failed_smoke_test_is_told_each_time(home: ChampionHome) -> None:
    version = home.version(home.add(alarming_file()))
    assert version.smoke_test() == version.smoke_test() != []
    for _ in range(2):
        with pytest.raises(ModelError):
            version.require_servable()


def test_only_the_newest_versions_stay_in_memory(home: ChampionHome) -> None:
    first = home.version(1).model()
    digest = home.digest(1)
    for number in range(100, 100 + MAX_VERSIONS):
        assert home.version(number, digest).load_problem()
    assert home.version(1).model() is not first


def test_a_model_file_by_the_name_of_an_earlier_release_is_loaded(tmp_path: Path) -> None:
    older = ServedHome(tmp_path)
    name, data = PREDICTIVE_ANALYTICS.name, fitted_file(PREDICTIVE_ANALYTICS.name)
    manifest = older.served.manifest(name, older.publish(name, data))
    committed = older.served.publish(
        name,
        {"model.joblib": data},
        lambda version, files: manifest.model_copy(update={"version": version, "files": files}),
    )
    digest = older.served.manifest_sha256(name, committed.version)
    ref = VersionRef(name=name, version=committed.version, manifest_sha256=digest)
    version = Version(older.served, PREDICTIVE_ANALYTICS, ref)
    assert list(committed.files) == ["model.joblib"]
    assert version.model().hourly_baseline is not None
    older.served.storage.write(f"{name}/{committed.version}/model.joblib", b"changed")
    with raises(IntegrityError, "changed_file", file="model.joblib"):
        version.model()


def test_names_for_stock_servers_are_of_what_these_can_ask() -> None:
    stock = (".joblib", ".pkl", ".pickle")
    assert {spec.name: spec.family.model_file.endswith(stock) for spec in MODELS} == {
        spec.name: spec.family.read_by == "scikit-learn" for spec in MODELS
    }
