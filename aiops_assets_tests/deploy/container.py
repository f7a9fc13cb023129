"""A program run as a container of our image runs it, without a container engine (it needs root to set that up).

Its root is read-only and holds the system's programs, this environment and the package; it is process 1, with a user
id that has no entry in /etc/passwd, group 0 and no capabilities. What it may write is /tmp and the image's volumes.
"""

import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from dockerfile_parse import DockerfileParser

from aiops_assets.settings import PROJECT_ROOT

DOCKERFILE = PROJECT_ROOT / "deploy" / "image" / "Dockerfile"
UID = 1000670000
"""Of the range that OpenShift gives to a project."""
DEFAULT_SIGNALS = ("env", "--default-signal=INT")
"""A container engine starts programs so. A background job of a shell script ignores SIGINT, its children inherit that,
and Dagster then ignores SIGTERM as well."""
READ_ONLY = (
    sys.prefix,
    sys.base_prefix,
    str(PROJECT_ROOT / "aiops_assets"),
    str(PROJECT_ROOT / "dagster.yaml"),
    "/usr",
    "/etc/ssl",
    "/etc/ld.so.cache",
)
START = """
set -e
mount -t tmpfs -o mode=755 tmpfs "$NEW"
# First: what is read-only may lie below it, as a checkout in /tmp does.
mkdir "$NEW/tmp"
mount -t tmpfs -o mode=1777 tmpfs "$NEW/tmp"
for one in $READ_ONLY; do
  if [ -d "$one" ]; then mkdir -p "$NEW$one"; else mkdir -p "$(dirname "$NEW$one")"; touch "$NEW$one"; fi
  mount --bind "$one" "$NEW$one"
  mount -o remount,bind,ro "$NEW$one"
done
for one in bin lib lib64 sbin; do ln -s "usr/$one" "$NEW/$one"; done
echo root:x:0:0:root:/root:/bin/sh > "$NEW/etc/passwd"
mkdir -p "$NEW/proc" "$NEW/dev"
mount -t proc proc "$NEW/proc"
mount --rbind /dev "$NEW/dev"
for one in $VOLUMES; do
  mkdir -p "$NEW$one" "$HELD$one"
  chmod 2775 "$HELD$one"
  mount --bind "$HELD$one" "$NEW$one"
done
mount -o remount,ro "$NEW"
"""


def dockerfile() -> DockerfileParser:
    """Its instructions; labels and variables are those of the last stage."""
    return DockerfileParser(fileobj=BytesIO(DOCKERFILE.read_bytes()))


def image_environment() -> dict[str, str]:
    """The last stage's variables, with the place of programs here instead of the image's."""
    bare = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    return {**dockerfile().envs, **bare}


@contextmanager
def contained(
    command: Sequence[str],
    scratch: Path,
    log: Path,
    variables: Mapping[str, str] | None = None,
    mounts: Sequence[str] = (),
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run it until the block ends, and end it by SIGTERM.

    Args:
        command: program and arguments.
        scratch: folder that holds the volumes' content below ``volumes``.
        log: file that takes what it says.
        variables: of the environment, beside those of the image.
        mounts: volumes beside those of the image.
    """
    environment = image_environment()
    volumes = [environment["AIOPS_HOME"], environment["MODEL_ROOT"], *mounts]
    (scratch / "root").mkdir(parents=True, exist_ok=True)
    names = {
        "NEW": str(scratch / "root"),
        "HELD": str(scratch / "volumes"),
        "READ_ONLY": " ".join(READ_ONLY),
        "VOLUMES": " ".join(volumes),
    }
    given = [f"{name}={value}" for name, value in {**environment, **(variables or {})}.items()]
    as_user = [
        *("setpriv", f"--reuid={UID}", "--regid=0", "--clear-groups", "--no-new-privs", "--bounding-set=-all"),
        *("env", "-i", "-C", environment["AIOPS_HOME"], *given, *command),
    ]
    script = START + f'exec chroot "$NEW" {shlex.join(as_user)}'
    with log.open("wb") as output:
        outside = subprocess.Popen(
            [*DEFAULT_SIGNALS, "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **names},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield outside
        finally:
            stop(outside)


def stop(outside: "subprocess.Popen[bytes]") -> int:
    """End the program by SIGTERM, as a kubelet does, or after 25 s by SIGKILL; its exit code."""
    if outside.poll() is None:
        children = Path(f"/proc/{outside.pid}/task/{outside.pid}/children").read_text().split()
        for child in children:
            subprocess.run(["kill", f"-{signal.SIGTERM.value}", child], check=False)
        try:
            outside.wait(25)
        except subprocess.TimeoutExpired:
            outside.kill()
    return outside.wait(10)
