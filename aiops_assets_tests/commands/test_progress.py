"""What `aiops run` shows while it runs."""

import io
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from aiops_assets.commands.progress import HEARTBEAT_SECONDS, QUIET_SECONDS, Progress, follow
from aiops_assets.pipeline.run_lines import FINISHED, MESSAGE, STARTED, WARNED, read_line, write_line

FITS = {"a_model": ("a", 10.0), "b_model": ("b", 30.0)}
CHILD = f"""
import sys, time
print({write_line(STARTED, "a_model")!r}, flush=True)
print("noise of a package", flush=True)
print("a warning", file=sys.stderr, flush=True)
print({write_line(MESSAGE, "a_model", "WARNING", "gaps-17")!r}, flush=True)
"""


class Shown:
    """A display without a terminal, and its clock."""

    def __init__(self, others: float = 0.0) -> None:
        self.now, self.out = 0.0, io.StringIO()
        self.console = Console(file=self.out, width=200)
        self.progress = Progress(self.console, FITS, others, clock=lambda: self.now)

    def at(self, now: float, kind: str, step: str) -> str:
        """What was printed because of an event."""
        self.now = now
        return self.printed(lambda: self.progress.handle(event(kind, step)))

    def printed(self, act: object) -> str:
        before = len(self.out.getvalue())
        act()  # type: ignore[operator]
        return self.out.getvalue()[before:].strip()


def event(kind: str, step: str, level: str = "INFO", text: str = "") -> dict[str, str]:
    found = read_line(write_line(kind, step, level, text))
    assert found is not None
    return found


def left_of(line: str) -> float:
    return float(line.rpartition("about ")[2].removesuffix(" s left"))


def test_a_fit_is_shown_with_its_model_and_what_is_left() -> None:
    line = Shown().at(65.0, STARTED, "a_model")
    assert line.startswith("1:05")
    for part in ("model 1 of 2", "a,", "10 s"):
        assert part in line
    assert left_of(line) == 40


def test_estimates_follow_the_pace_of_this_machine() -> None:
    shown = Shown()
    shown.at(0.0, STARTED, "a_model")
    shown.at(20.0, FINISHED, "a_model")  # twice as long as is typical, of which a third is believed
    assert left_of(shown.at(20.0, STARTED, "b_model")) == 40
    shown.now = 50.0
    assert left_of(shown.progress.line()) == 10


def test_an_estimate_never_falls_below_nothing() -> None:
    shown = Shown()
    shown.at(0.0, STARTED, "a_model")
    shown.at(1.0, FINISHED, "a_model")
    shown.at(1.0, STARTED, "b_model")
    shown.now = 500.0
    assert "left" not in shown.progress.line()


def test_without_a_terminal_a_fit_has_a_line_and_other_steps_one_now_and_then() -> None:
    shown = Shown()
    assert shown.at(0.0, STARTED, "a_model")
    assert not shown.at(1.0, STARTED, "check")
    assert shown.at(QUIET_SECONDS, STARTED, "data")
    shown.now += HEARTBEAT_SECONDS - 1
    assert not shown.printed(shown.progress.tick)
    shown.now += 1
    assert "data" in shown.printed(shown.progress.tick)
    assert not shown.printed(shown.progress.tick)


def test_a_warning_is_printed_and_a_message_only_shown() -> None:
    shown = Shown()
    shown.at(0.0, STARTED, "raw_metrics")
    assert not shown.printed(lambda: shown.progress.handle(event(MESSAGE, "raw_metrics", text="day 3 of 14")))
    assert "day 3 of 14" in shown.progress.line()
    warned = shown.printed(lambda: shown.progress.handle(event(MESSAGE, "raw_metrics", "WARNING", "gaps")))
    assert warned.split(": ") == ["warning", "raw_metrics", "gaps"]


def test_what_a_check_warns_of_is_kept_for_the_end() -> None:
    shown = Shown()
    check = "raw_metrics: members"
    assert not shown.printed(lambda: shown.progress.handle(event(WARNED, check, "WARNING", "2 of 3")))
    assert shown.progress.warnings == {check: "2 of 3"}


@pytest.mark.parametrize("line", ["", "text", "{", '{"a": 1}', "[1]", "{}"])
def test_lines_of_others_are_no_events(line: str) -> None:
    assert read_line(line) is None


def test_what_others_print_goes_to_the_log(tmp_path: Path) -> None:
    shown, log = Shown(), tmp_path / "logs" / "run.log"
    code = follow([sys.executable, "-c", f"{CHILD}sys.exit(3)"], os.environ, shown.progress, shown.console, log)
    assert code == 3
    text = shown.out.getvalue()
    assert "gaps-17" in text
    assert "noise" not in text
    assert set(log.read_text().splitlines()) == {"noise of a package", "a warning"}


def test_an_interrupt_ends_the_command_too(tmp_path: Path) -> None:
    """A terminal interrupts both; here the command is told by nobody, and is terminated after a while."""
    pid = tmp_path / "pid"
    code = f"import os, pathlib, time; pathlib.Path({str(pid)!r}).write_text(str(os.getpid())); time.sleep(60)"
    shown = Shown()

    def interrupt() -> None:
        while not pid.exists() or not pid.read_text():
            time.sleep(0.01)
        os.kill(int(pid.read_text()), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        follow([sys.executable, "-c", code], os.environ, shown.progress, shown.console, tmp_path / "log")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
