"""Versions that are refused by name before they are unpickled, and those that load."""

import shutil
from pathlib import Path

import pytest

from aiops_assets.errors import IntegrityError, ModelError, NotFoundError
from aiops_assets.learners.detectors.isolation_forest import predict
from aiops_assets.timeseries.features import FEATURES
from aiops_assets_tests.raising import raises
from aiops_assets_tests.registry.champion_home import ChampionHome, alarming_file, home_of, promote, rollback, trap_file


def test_a_model_that_gives_no_usable_answer_is_not_promoted(home: ChampionHome) -> None:
    bad = home.add(alarming_file())
    with raises(ModelError, "no_usable_answer", version=4):
        promote(home, bad)
    assert home.said() == (2, 2, "2")


def _other_order() -> tuple[str, ...]:
    return (FEATURES[1], FEATURES[0], *FEATURES[2:])


@pytest.mark.parametrize(
    ("changes", "code", "facts"),
    [
        ({"features": _other_order()}, "other_order", {"position": 0, "trained": FEATURES[1], "ours": FEATURES[0]}),
        ({"features": ("latency", *FEATURES[1:])}, "other_features", {"position": 0, "trained": "latency"}),
        ({"features": FEATURES[:-1], "width": 44}, "other_width", {"trained": 44, "ours": 45}),
        ({"width": 46}, "other_width", {"trained": 46, "ours": 45}),
        (
            {"units": {"node_cpu_utilization": "percent"}},
            "other_unit",
            {"metric": "node_cpu_utilization", "trained": "percent", "ours": "ratio"},
        ),
        ({"packages": {"scikit-learn": "0.1.2"}}, "other_package", {"package": "scikit-learn", "wrote": "0.1.2"}),
        ({"packages": {}}, "package_unknown", {"package": "scikit-learn"}),
    ],
)
def test_a_model_of_other_columns_or_packages_is_refused_by_name_before_unpickling(
    home: ChampionHome, tmp_path: Path, changes: dict[str, object], code: str, facts: dict[str, object]
) -> None:
    touched = tmp_path / "touched"
    version = home.add(trap_file(touched), **changes)
    for act in (promote, rollback):
        with raises(ModelError, code, **facts) as caught:
            act(home, version)
        assert str(caught.value).startswith(f"{home.name} version {version}")
    assert home.version(version).load_problem() == str(caught.value)
    assert not touched.exists()
    assert home.said() == (2, 2, "2")


def test_the_trap_of_these_tests_works(home: ChampionHome, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    version = home.add(trap_file(touched))
    home.version(version).model()
    assert touched.exists()


def test_a_replaced_file_is_refused_before_unpickling(home: ChampionHome, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    version = home.version(3)
    (home.model_folder / "3" / "model.joblib").write_bytes(trap_file(touched))
    for act in (promote, rollback):
        with raises(IntegrityError, "changed_file", file="model.joblib"):
            act(home, 3)
    with raises(IntegrityError, "changed_file", file="model.joblib"):
        version.model()
    assert not touched.exists()
    assert home.said() == (2, 2, "2")


def test_file_and_manifest_replaced_together_are_refused_before_unpickling(home: ChampionHome, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    evil = home_of(tmp_path / "evil", home.tracker, home.name)
    for _ in range(3):
        evil.publish(trap_file(touched))
    for version in (1, 3):
        shutil.rmtree(home.model_folder / str(version))
        shutil.copytree(evil.model_folder / str(version), home.model_folder / str(version))
        for act in (promote, rollback):
            with raises(IntegrityError, "other_manifest", path=f"{home.name}/{version}/manifest.json"):
                act(home, version)
    with raises(NotFoundError, "nothing_to_go_back_to") as caught:
        rollback(home)
    (passed_over,) = caught.value.facts["passed_over"]
    assert passed_over.startswith("version 1: ")
    assert "1/manifest.json" in passed_over
    assert not touched.exists()
    assert home.said() == (2, 2, "2")


def test_champion_record_and_directory_replaced_together_are_refused_by_what_mlflow_keeps(
    home: ChampionHome, tmp_path: Path
) -> None:
    touched = tmp_path / "touched"
    evil = home_of(tmp_path / "evil", home.tracker, home.name)
    evil.publish(trap_file(touched))
    evil.served.move_champion(home.name, 1, evil.digest(1), reason="", who="", seen=None)
    shutil.rmtree(home.model_folder)
    shutil.copytree(evil.model_folder, home.model_folder)
    with raises(IntegrityError, "digests_differ", version=1):
        promote(home, 1)
    assert not touched.exists()


def test_a_file_that_cannot_be_read_is_an_error_of_ours(home: ChampionHome) -> None:
    version = home.add(b"no pickle at all")
    with raises(ModelError, "unreadable_model", version=version):
        promote(home, version)
    assert "cannot be read" in home.version(version).load_problem()


def test_a_sound_version_loads_and_answers(home: ChampionHome) -> None:
    assert home.version(1).load_problem() == ""
    model = home.version(1).model()
    assert predict(model, [[0.4] * len(FEATURES)]).tolist() in ([1], [-1])
    assert "does not exist" in home.version(9, home.digest(1)).load_problem()
