"""The image: what its Dockerfile says, and the programs in it as OpenShift would run them."""

import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from docker.utils.build import exclude_paths

from aiops_assets import __version__
from aiops_assets.settings import PROJECT_ROOT, Settings
from aiops_assets_tests.deploy.container import DOCKERFILE, contained, dockerfile, image_environment, stop
from aiops_assets_tests.locks import locked, missing_from_lock
from aiops_assets_tests.ports import free_port
from aiops_assets_tests.service.running import Running

START_SECONDS = 90


def instructions(name: str) -> list[str]:
    return [one["value"] for one in dockerfile().structure if one["instruction"] == name]


def pinned() -> dict[str, str]:
    lines = (PROJECT_ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


def project() -> dict[str, Any]:
    return dict(tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"])


def test_base_is_one_exact_release_of_the_python_that_the_package_wants() -> None:
    (base,) = {one.split()[0] for one in instructions("FROM")} - {"base"}
    assert re.fullmatch(r"python:3\.11\.\d+-slim-[a-z]+", base)
    assert dockerfile().labels["org.opencontainers.image.base.name"] == f"docker.io/library/{base}"


def test_versions_are_those_of_the_package_and_its_constraints() -> None:
    labels = dockerfile().labels
    assert labels["aiops-assets.scikit-learn"] == pinned()["scikit-learn"]
    tag = f"{__version__}-sklearn{pinned()['scikit-learn']}"
    assert labels["org.opencontainers.image.version"] == tag
    assert f"-t aiops-assets:{tag} ." in DOCKERFILE.read_text()
    assert labels["org.opencontainers.image.licenses"] == project()["license"]


def test_torch_comes_from_the_index_that_is_asked_for_and_nothing_else_does() -> None:
    installs = [line for one in instructions("RUN") for line in one.split("&&") if "pip install" in line]
    (torch,) = (line for line in installs if "$TORCH_INDEX" in line)
    assert torch.split()[-2:] == ["-r", "torch.lock"]
    assert "TORCH_INDEX=https://download.pytorch.org/whl/cpu" in instructions("ARG")
    from_locks = [line for line in installs if "-r " in line]
    assert len(from_locks) == 2
    assert all({"--no-deps", "--require-hashes"} <= set(line.split()) for line in from_locks)
    assert all("-c constraints.txt" in line or "--no-deps" in line for line in installs)


def test_the_lock_has_what_the_image_does_and_no_tools_of_tests() -> None:
    here = locked("deploy/image/requirements.lock")
    assert missing_from_lock(("train", "service", "cluster", "ui", "build"), here | locked("torch.lock")) == []
    assert not {"pytest", "mypy", "ruff", "playwright"} & set(here)
    everything = locked("dev.lock")
    assert here == {name: everything[name] for name in here}


def test_user_is_a_number_in_group_0_and_its_folders_are_those_of_the_settings() -> None:
    assert [re.fullmatch(r"[1-9]\d*:0", user) is not None for user in instructions("USER")] == [True]
    environment = image_environment()
    ours = {name: value for name, value in environment.items() if name.lower() in Settings.model_fields}
    assert ours == {"AIOPS_HOME": "/var/lib/aiops", "MODEL_ROOT": "/mnt/models"}
    (made,) = (one for one in instructions("RUN") if "chgrp 0" in one)
    assert re.search(r"chgrp 0 (.*) && chmod 2775 \1$", made).group(1).split() == list(ours.values())  # type: ignore[union-attr]
    assert not instructions("ENTRYPOINT")
    assert not instructions("ADD")


def test_the_build_sees_what_it_copies_and_no_more() -> None:
    patterns = Path(f"{DOCKERFILE}.dockerignore").read_text().splitlines()
    patterns = [line for line in patterns if line and not line.startswith("#")]
    seen = set(exclude_paths(str(PROJECT_ROOT), patterns))
    copied = [words for one in instructions("COPY") if "--from" not in one for words in one.split()[:-1]]
    wanted = {
        str(file.relative_to(PROJECT_ROOT))
        for source in copied
        for file in [PROJECT_ROOT / source, *(PROJECT_ROOT / source).rglob("*")]
        if "__pycache__" not in file.parts
    }
    assert {"aiops_assets/definitions.py", "constraints.txt", "dagster.yaml", "torch.lock"} <= wanted
    assert seen - {"deploy/image/Dockerfile"} == wanted


def test_the_wheel_that_is_installed_takes_no_more_than_was_copied() -> None:
    hatch = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    read = [project()["readme"], *project()["license-files"], *hatch["packages"], *hatch["force-include"]]
    copied = {word for one in instructions("COPY") for word in one.split()[:-1]}
    assert set(read) <= copied


def said(log: Path) -> str:
    return log.read_text(errors="replace")


@pytest.mark.needs("tmpfs")
def test_service_runs_as_a_user_without_a_name_on_a_read_only_root(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    command = [*command_on_loopback(), "--demo", "--port", str(port)]
    with contained(command, tmp_path, log) as process:
        Running(f"http://127.0.0.1:{port}", process, log).wait_for("/health")
        assert stop(process) == 0, said(log)
    assert "Started server process [1]" in said(log)
    assert "Finished server process [1]" in said(log)


@pytest.mark.needs("tmpfs")
def test_code_server_runs_as_a_user_without_a_name_on_a_read_only_root(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    command = ["dagster", "api", "grpc", "-h", "127.0.0.1", "-p", str(port), "-m", "aiops_assets.definitions"]
    with contained(command, tmp_path, log) as process:
        check = [str(Path(sys.executable).parent / "dagster"), "api", "grpc-health-check", "-p", str(port)]
        end = time.monotonic() + START_SECONDS
        while subprocess.run(check, capture_output=True, timeout=60).returncode != 0:
            assert process.poll() is None, said(log)
            assert time.monotonic() < end, said(log)
        assert stop(process) == 0, said(log)
    assert "in process 1" in said(log)


@pytest.mark.long
@pytest.mark.needs("tmpfs")
def test_a_run_trains_and_serves_as_a_user_without_a_name_on_a_read_only_root(tmp_path: Path) -> None:
    log = tmp_path / "log"
    variables = {"MODELS": "anomaly-detector,lstm-predictor,prophet-predictor", "OMP_NUM_THREADS": "1"}
    with contained(["aiops", "run"], tmp_path, log, variables) as process:
        assert process.wait(600) == 0, said(log)
    models = tmp_path / "volumes" / "mnt" / "models"
    versions = sorted(one.parents[1].name for one in models.glob("*/1/manifest.json"))
    assert versions == sorted(variables["MODELS"].split(","))
    # Whether the others are good enough depends on the generated days.
    assert (models / "anomaly-detector" / "champion.json").is_file()


def command_on_loopback() -> list[str]:
    """The image's CMD on loopback: the tests listen nowhere else."""
    (command,) = instructions("CMD")
    words = re.findall(r'"([^"]+)"', command)
    assert words == ["aiops", "serve", "--host", "0.0.0.0"]
    return [*words[:-1], "127.0.0.1"]
