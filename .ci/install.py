"""pip with one line every few seconds: what is being downloaded or installed. Its full output goes to a log.

    python .ci/install.py LOG pip-arguments...

Runs before anything is installed, so it needs the standard library alone.
"""

import re
import subprocess
import sys
import threading
import time
from pathlib import Path

EVERY_SECONDS = 8.0
LARGE = re.compile(r"Downloading (\S+?)-\d\S* \((\d{2,}(?:\.\d+)? MB|\d+(?:\.\d+)? GB)\)")
COLLECTING = re.compile(r"Collecting ([A-Za-z0-9_.-]+)")
LAST_LINES = 15


def main(log: Path, arguments: list[str]) -> int:
    """Run pip; its exit code. When it fails, the end of its output is shown."""
    began = time.monotonic()
    state = {"now": "reading the list of packages", "packages": 0}

    def say(text: str) -> None:
        print(f"  {time.monotonic() - began:4.0f} s  {text}", flush=True)

    def heartbeat(done: threading.Event) -> None:
        while not done.wait(EVERY_SECONDS):
            say(str(state["now"]))

    lines: list[str] = []
    done = threading.Event()
    threading.Thread(target=heartbeat, args=(done,), daemon=True).start()
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    with (
        log.open("a") as kept,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip,
    ):
        assert pip.stdout is not None
        for line in pip.stdout:
            kept.write(line)
            lines = [*lines, line][-LAST_LINES:]
            if found := COLLECTING.match(line):
                state["packages"] = int(state["packages"]) + 1
                state["now"] = f"{state['packages']} packages so far, now {found[1]}"
            elif found := LARGE.search(line):
                say(f"downloading {found[1]}, {found[2]}")
            elif line.startswith("Installing collected packages"):
                state["now"] = f"unpacking {line.count(',') + 1} packages"
                say(str(state["now"]))
    done.set()
    if pip.returncode:
        print("".join(lines), f"the whole output: {log}", sep="", file=sys.stderr)
    return pip.returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
