"""What `aiops run` shows while it runs: which step, since when, and about how long it takes.

On a terminal that is one line which changes; elsewhere a line for each step, and one every ten seconds in between.
"""

import queue
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

from aiops_assets.pipeline.run_lines import FAILED, FINISHED, MARK, MESSAGE, STARTED, WARNED, read_line

HEARTBEAT_SECONDS = 10.0
QUIET_SECONDS = 3.0
"""Steps that fit nothing take less than a second mostly: without a terminal, not each has a line."""
TRUSTED_SECONDS = 20.0
"""The estimates count as so many seconds of fits that took just as long: one short fit does not set the pace alone."""
MAX_PACE = 3.0
"""How many times slower or faster than typical a machine is taken to be, whatever the first fits say."""
GRACE_SECONDS = 30.0
"""Time for the child to end after an interrupt, before it is terminated."""


class Progress:
    """The progress of a run; ``run`` is its id, empty until the first event.

    ``warnings`` is "<asset>: <check>" -> what it found, of checks that failed and stopped nothing, in order of time.

    Args:
        console: where it is shown.
        fits: step -> (name of the model, typical seconds of its fit), in the order of the models.
        others: typical seconds of all that fits nothing.
        clock: monotonic, seconds.
    """

    def __init__(
        self,
        console: Console,
        fits: Mapping[str, tuple[str, float]],
        others: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console, self._fits, self._others, self._clock = console, fits, others, clock
        self._began = self._stated = clock()
        self._step, self._step_began, self._message = "", clock(), "starting Dagster"
        self._done: dict[str, float] = {}
        self.run = ""
        self.warnings: dict[str, str] = {}

    def handle(self, event: Mapping[str, str]) -> None:
        """Take note of an event of the run."""
        kind, step = event[MARK], event["step"]
        self.run = event["run"] or self.run
        if kind == STARTED:
            self._step, self._step_began, self._message = step, self._clock(), ""
            if step in self._fits or self._clock() - self._stated >= QUIET_SECONDS:
                self._state()
        elif kind in (FINISHED, FAILED):
            self._done[step] = self._clock() - self._step_began
        elif kind == WARNED:
            self.warnings[step] = event["text"]
        elif kind == MESSAGE and event["level"] != "INFO":
            self._console.print(f"{event['level'].lower()}: {step}: {event['text']}", highlight=False, markup=False)
        elif kind == MESSAGE:
            self._message = event["text"]
            if self._message and not step:
                self._state()

    def tick(self) -> None:
        """Print where the run is, if nothing was printed for ten seconds. A terminal shows it all the time."""
        if self._clock() - self._stated >= HEARTBEAT_SECONDS:
            self._state()

    def _state(self) -> None:
        if not self._console.is_terminal:
            self._console.print(self.line(), highlight=False, markup=False, soft_wrap=True)
        self._stated = self._clock()

    def line(self) -> str:
        """Time since the start, the step with its own time and estimate, and about how long is left."""
        elapsed, now = self._clock() - self._began, self._clock() - self._step_began
        clock = f"{int(elapsed // 60):3d}:{int(elapsed % 60):02d}"
        if not self._step:
            return f"{clock}  {self._message}"
        about = self._step
        if self._step in self._fits:
            position = len(self._done.keys() & self._fits.keys() - {self._step}) + 1
            name, typical = self._fits[self._step]
            about = f"model {position} of {len(self._fits)}: fitting {name}, {now:.0f} s of about {typical:.0f} s"
        left = self._left()
        ahead = f" - about {left:.0f} s left" if left >= 1 else ""
        message = f": {self._message}" if self._message else ""
        return f"{clock}  {about}{message}{ahead}"

    def _left(self) -> float:
        """Estimated seconds until the end: what is left by the estimates, times how right those of fits were so far."""
        fitted = {step: seconds for step, seconds in self._done.items() if step in self._fits}
        expected = sum(self._fits[step][1] for step in fitted)
        measured = (sum(fitted.values()) + TRUSTED_SECONDS) / (expected + TRUSTED_SECONDS)
        pace = min(max(measured, 1 / MAX_PACE), MAX_PACE)
        ahead = {step: seconds for step, (_, seconds) in self._fits.items() if step not in self._done}
        spent = self._clock() - self._step_began if self._step in ahead else 0.0
        others = self._clock() - self._began - spent - sum(fitted.values())
        return max(pace * sum(ahead.values()) - spent, 0.0) + max(pace * self._others - others, 0.0)

    def __rich__(self) -> Text:
        """The line as rich's live display draws it, several times a second."""
        return Text(self.line(), no_wrap=True, overflow="ellipsis")


def follow(
    command: Sequence[str], environment: Mapping[str, str], progress: Progress, console: Console, log: Path
) -> int:
    """Run a command whose lines are events, and show them. What it prints besides goes to ``log``.

    Returns:
        its exit code.

    Raises:
        KeyboardInterrupt: after the command has ended, too.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("wb") as other,
        subprocess.Popen(command, env=dict(environment), stdout=subprocess.PIPE, stderr=other, text=True) as process,
    ):
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_read, args=(process, lines), daemon=True).start()
        live = Live(progress, console=console, transient=True) if console.is_terminal else nullcontext()
        try:
            with live:
                while (line := _next(lines)) is not None:
                    event = read_line(line)
                    if event:
                        progress.handle(event)
                    elif line:
                        other.write(line.encode())
                        other.flush()
                    progress.tick()
            return process.wait()
        except KeyboardInterrupt:
            _end(process)
            raise


def _read(process: "subprocess.Popen[str]", lines: "queue.Queue[str | None]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put(None)


def _next(lines: "queue.Queue[str | None]") -> str | None:
    """The next line; ``""`` when there is none within a second, ``None`` at the end."""
    try:
        return lines.get(timeout=1.0)
    except queue.Empty:
        return ""


def _end(process: "subprocess.Popen[str]") -> None:
    """Wait until the command has ended: a terminal interrupts it too. One that goes on is terminated, then killed."""
    for stop in (process.terminate, process.kill):
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            stop()
        except KeyboardInterrupt:  # whoever presses it twice is in a hurry
            stop()
    process.wait()
