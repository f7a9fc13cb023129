"""One mounted version, as KServe's predictor container has it: that one is served, or none and it is said why."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import pytest
import requests
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from aiops_assets.commands.cli import main
from aiops_assets.errors import ServiceNotReady
from aiops_assets.families.anomaly_detector import ANOMALY_DETECTOR
from aiops_assets.service.instruments import Instruments
from aiops_assets.service.pool import ModelPool
from aiops_assets.service.versions import MountedSource
from aiops_assets.storage import champion_record
from aiops_assets.storage.records import SourceReport
from aiops_assets.synthetic.healthy import healthy_rows
from aiops_assets_tests.raising import raises
from aiops_assets_tests.registry.champion_home import trap_file
from aiops_assets_tests.service.running import START_SECONDS, Running, serving
from aiops_assets_tests.service.served_home import SPECS, ServedHome, model_file
from aiops_assets_tests.snapshot import assert_snapshot, steady

NAME = ANOMALY_DETECTOR.name
ROW = healthy_rows(1, seed=9).tolist()


@pytest.fixture
def home(tmp_path: Path) -> ServedHome:
    """Version 1 was champion, version 2 is, version 3 never was."""
    home = ServedHome(tmp_path / "root")
    home.serve([NAME])
    home.promote(home.publish(data=model_file(NAME, seed=1), source=SourceReport(coverage=0.75)))
    home.publish(data=model_file(NAME, seed=2))
    return home


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    """Where a version's content is mounted, and nothing else."""
    return tmp_path / "mnt"


def mounted(home: ServedHome, version: int, mount: Path) -> Path:
    return Path(shutil.copytree(home.folder / NAME / str(version), mount, dirs_exist_ok=True))


def pool_of(home: ServedHome, mount: Path, name: str = NAME) -> ModelPool:
    return ModelPool(MountedSource(mount, home.served), [SPECS[name]], Instruments(), only=True)


@contextmanager
def predictor(home: ServedHome, mount: Path) -> Iterator[Running]:
    """The process with KServe's own arguments."""
    arguments = (f"--model_name={NAME}", f"--model_dir={mount}")
    variables = {"MODEL_ROOT": str(home.folder), "SERVICE_POLL_SECONDS": "0.1"}
    with serving(home.folder.parent / "home", *arguments, **variables) as running:
        yield running


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """The folder as a kubelet mounts it for a predictor."""
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def gauges(url: str) -> dict[str, float]:
    """Of the only model, by name."""
    text = requests.get(f"{url}/metrics", timeout=5).text
    families = text_string_to_metric_families(text)
    return {sample.name: sample.value for family in families for sample in family.samples if "model" in sample.labels}


@pytest.mark.long
def test_the_mounted_version_answers_though_the_champion_is_newer(home: ServedHome, mount: Path) -> None:
    mounted(home, 1, mount)
    with predictor(home, mount) as running:
        running.wait_for("/v2/health/ready")
        for name in (NAME, "model"):
            said = requests.post(f"{running.url}/v1/models/{name}:predict", json={"instances": ROW}, timeout=5).json()
            assert (said["model_version"], said["data_version"]) == ("1", "data-of-1")
        home.promote(3)
        home.promote(2)
        found = requests.get(f"{running.url}/v1/models/{NAME}", timeout=5).json()
        assert found["versions"] == ["1"]
        assert gauges(running.url)["aiops_model_ready"] == 1
        assert "aiops_model_coverage_ratio" not in gauges(running.url)


@pytest.mark.needs("tmpfs")
def test_mounts_that_cannot_be_written_are_enough(home: ServedHome, mount: Path) -> None:
    mounted(home, 1, mount)
    with read_only(mount), read_only(home.folder):
        with pytest.raises(OSError, match="Read-only"):
            (mount / "new").touch()
        pool = pool_of(home, mount)
        pool.refresh()
        assert pool.get(NAME).champion.version == 1


@pytest.mark.long
def test_a_refused_version_is_told_and_served_once_repaired(home: ServedHome, mount: Path, tmp_path: Path) -> None:
    """The process stays: a container that ends again and again says nothing."""
    mounted(home, 2, mount)
    touched = tmp_path / "touched"
    (mount / "model.joblib").write_bytes(trap_file(touched))
    with predictor(home, mount) as running:
        running.wait_for("/v2/health/live")
        end = monotonic() + START_SECONDS
        while "just started" in (text := requests.get(f"{running.url}/health", timeout=5).text):
            assert monotonic() < end, text
            sleep(0.05)
        assert '"status":"unavailable"' in text
        assert f"{mount}/model.joblib is not the file its manifest names" in text
        assert gauges(running.url)["aiops_model_ready"] == 0
        refused = requests.post(f"{running.url}/v1/models/{NAME}:predict", json={"instances": ROW}, timeout=5)
        assert refused.status_code == 503
        assert "not the file its manifest names" in refused.json()["error"]
        assert requests.get(f"{running.url}/v2/health/ready", timeout=5).status_code == 503
        assert not touched.exists()
        mounted(home, 2, mount)
        running.wait_for("/v2/health/ready")
        assert gauges(running.url)["aiops_model_coverage_ratio"] == 0.75


def test_a_changed_manifest_is_refused(home: ServedHome, mount: Path, tmp_path: Path) -> None:
    """Also one that fits its file: the digest comes from the champion record, not from the mount."""
    forged = ServedHome(tmp_path / "forged")
    forged.publish()
    forged.publish(data=trap_file(tmp_path / "touched"))
    mounted(forged, 2, mount)
    pool = pool_of(home, mount)
    pool.refresh()
    problem = pool.problems[NAME]
    assert (problem.code, problem.facts) == ("other_manifest", {"path": f"{mount}/manifest.json"})
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("version", "code", "facts"),
    [(3, "not_in_record", {"name": NAME, "version": 3}), (None, "no_manifest", {})],
)
def test_what_the_record_does_not_know_is_refused(
    home: ServedHome, mount: Path, version: int | None, code: str, facts: dict[str, object]
) -> None:
    if version:
        mounted(home, version, mount)
    pool = pool_of(home, mount)
    pool.refresh()
    problem = pool.problems[NAME]
    assert problem.code == code
    assert problem.facts == (facts or {"path": f"{mount}/manifest.json"})
    with raises(ServiceNotReady, "service_not_ready", model=NAME):
        pool.get(NAME)


@pytest.mark.parametrize("why", ["too long ago", "renewed"])
def test_a_champion_that_the_record_forgot_is_refused_until_it_is_promoted(
    home: ServedHome, mount: Path, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if why == "renewed":
        (home.folder / NAME / "champion.json").unlink()
        home.served.renew_champion(NAME, 2, home.served.manifest_sha256(NAME, 2), reason="lost", who="a test")
    else:
        monkeypatch.setattr(champion_record, "MAX_HISTORY", 1)
        home.promote(3)
    mounted(home, 1, mount)
    pool = pool_of(home, mount)
    pool.refresh()
    problem = pool.problems[NAME]
    assert (problem.code, problem.facts) == ("not_in_record", {"name": NAME, "version": 1})
    assert f"`aiops promote {NAME} 1`" in problem.text
    home.promote(1)
    pool.refresh()
    assert pool.get(NAME).champion.version == 1


def test_another_models_directory_and_a_missing_or_broken_record_are_refused(home: ServedHome, mount: Path) -> None:
    mounted(home, 1, mount)
    other = "ensemble-predictor"
    pool = pool_of(home, mount, other)
    pool.refresh()
    found = [pool.problems[other]]
    record = home.folder / NAME / "champion.json"
    good = record.read_bytes()
    pool = pool_of(home, mount)
    record.write_text("{")
    pool.refresh()
    found.append(pool.problems[NAME])
    record.unlink()
    pool.refresh()
    found.append(pool.problems[NAME])
    (mount / "manifest.json").write_text("{}")
    pool.refresh()
    found.append(pool.problems[NAME])
    assert [(one.code, dict(one.facts)) for one in found] == [
        ("other_model", {"found": NAME, "expected": other}),
        ("invalid_record", {}),
        ("no_record", {"name": NAME, "version": 1}),
        ("invalid_manifest", {"path": f"{mount}/manifest.json"}),
    ]
    mounted(home, 1, mount)
    record.write_bytes(good)
    pool.refresh()
    assert pool.get("model").champion.version == 1


def test_the_wordings_are_those_that_were_agreed(home: ServedHome, mount: Path) -> None:
    """What a mounted version is refused with: what is wrong, and what to do."""

    places = {"MOUNT": mount, "MODEL_ROOT": home.folder}

    def told(name: str = NAME) -> str:
        pool = pool_of(home, mount, name)
        pool.refresh()
        problem = pool.problems[name]
        return f"{problem.code}\n    {steady(problem.text, places)}\n"

    texts = [told()]
    mounted(home, 3, mount)
    texts += [told(), told("ensemble-predictor")]
    mounted(home, 2, mount)
    (mount / "model.joblib").write_bytes(b"another")
    texts.append(told())
    manifest = mount / "manifest.json"
    manifest.write_text(manifest.read_text() + "\n")
    texts.append(told())
    record = home.folder / NAME / "champion.json"
    record.write_text("{")
    texts.append(told())
    record.unlink()
    texts.append(told())
    manifest.write_text("{}")
    texts.append(told())
    assert_snapshot("mounted_versions", "".join(texts))


def test_a_directory_that_becomes_another_version_changes_nothing(home: ServedHome, mount: Path) -> None:
    mounted(home, 1, mount)
    pool = pool_of(home, mount)
    pool.refresh()
    mounted(home, 2, mount)
    (home.folder / NAME / "champion.json").unlink()
    pool.refresh()
    assert pool.get(NAME).champion.version == 1
    assert pool.problems == {}


@pytest.mark.long
def test_a_vetoed_version_is_served_and_the_log_warns(home: ServedHome, mount: Path) -> None:
    seen = home.served.champion(NAME)
    assert seen is not None
    digest = home.served.manifest_sha256(NAME, 1)
    home.served.move_champion(NAME, 1, digest, reason="too loud", who="a test", seen=2, by_hand=True, veto_seen=True)
    mounted(home, 2, mount)
    with predictor(home, mount) as running:
        running.wait_for("/v2/health/ready")
        assert requests.get(f"{running.url}/v1/models/{NAME}", timeout=5).json()["versions"] == ["2"]
        log = running.log.read_text()
    assert log.count('"event":"a vetoed version is mounted"') == 1
    assert "anomaly-detector version 2 was rolled back by a test" in log


@pytest.mark.parametrize("arguments", [[], ["--model", NAME, "--demo"]])
def test_a_directory_without_a_model_is_a_usage_error(arguments: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["serve", "--model_dir", str(tmp_path), *arguments])
    assert done.exit_code == 2
    assert "name it with --model" in done.output
