"""The Job that makes the models' folders, by its own script."""

import os
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from aiops_assets.families.catalog import MODEL_NAMES
from aiops_assets_tests.deploy.overlays import named, render
from aiops_assets_tests.snapshot import assert_snapshot, steady

pytestmark = pytest.mark.needs("npm")

STRANGER = 12345
"""A user that no file belongs to."""


def run_job_script(root: Path, user: int | None) -> "subprocess.CompletedProcess[str]":
    """The init Job's own command line."""
    (container,) = named(render("production"), "Job", "model-directories")["spec"]["template"]["spec"]["containers"]
    return subprocess.run(
        [*container["command"], *container["args"]],
        env={"MODEL_ROOT": str(root), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        user=user,
        group=user and 0,
        extra_groups=() if user else None,
    )


def test_the_job_makes_each_models_folder_again_and_again(tmp_path: Path) -> None:
    for _ in range(2):
        done = run_job_script(tmp_path, None)
        assert done.returncode == 0, done.stderr
        assert {path.name for path in tmp_path.iterdir()} == set(MODEL_NAMES)
        assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o2775}


@pytest.mark.needs("tmpfs")  # root: only it can make a folder of somebody else's
def test_the_job_says_which_folder_cannot_be_written() -> None:
    name = MODEL_NAMES[0]
    with tempfile.TemporaryDirectory() as folder:  # not tmp_path: strangers may not enter that
        root = Path(folder)
        root.chmod(0o777)
        assert run_job_script(root, STRANGER).returncode == 0
        root.joinpath(name).rmdir()
        root.joinpath(name).mkdir(mode=0o555)
        done = run_job_script(root, STRANGER)
    assert done.returncode == 1
    assert_snapshot("deploy_model_directories", steady(done.stderr.splitlines(keepends=True)[-1], {"ROOT": root}))
