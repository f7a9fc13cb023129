"""How fast the service answers, beside an empty route and the Pipeline behind the same framework, and its memory.

All are asked in turn in one run, each over one connection that stays open; servers are processes of their own on
loopback ports. ``python -m aiops_assets_tests.benchmarks.serving`` measures this alone.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil

from aiops_assets.families.anomaly_detector import ANOMALY_DETECTOR
from aiops_assets.learners.detectors import isolation_forest
from aiops_assets.learners.detectors.flat_forest import FlatForest
from aiops_assets.synthetic.healthy import healthy_rows
from aiops_assets.timeseries.features import FEATURES
from aiops_assets.timeseries.series import Floats
from aiops_assets_tests.benchmarks.rows import Row
from aiops_assets_tests.ports import free_port

Call = Callable[[], object]
Found = dict[str, float]

NAME = ANOMALY_DETECTOR.name
MODEL, PREDICT, DETECT = f"/v1/models/{NAME}", f"/v1/models/{NAME}:predict", "/api/v1/anomaly/detect"
MANY = 1_000
ROUNDS = 8
READY_SECONDS, MAX_ANSWER_SECONDS, STOP_SECONDS = 60.0, 30.0, 30.0
WARM, LAST = 10_000, 100_000
"""Requests after which memory is read first and last."""
MAX_MEGABYTES = 5.0
BARE_APPS = "aiops_assets_tests.benchmarks.bare_apps"
BIN = Path(sys.executable).parent


class Connection:
    """One open connection; a request is a few lines of Python, so that the client's own time is small."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=MAX_ANSWER_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send a request; the answer's status and body.

        Raises:
            OSError: no answer in time, or the server closed the connection.
        """
        self._socket.sendall(request)
        head, end = b"", -1
        while end < 0:
            head += self._received()
            end = head.find(b"\r\n\r\n")
        body = head[end + 4 :]
        length = int(head[:end].lower().split(b"content-length:")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += self._received()
        return int(head[9:12]), body

    def _received(self) -> bytes:
        if not (data := self._socket.recv(1 << 18)):
            raise ConnectionError("the server closed the connection")
        return data


def request(path: str, body: Mapping[str, object] | None = None) -> bytes:
    """The bytes of a POST, or of a GET where there is no body."""
    data = b"" if body is None else json.dumps(body).encode()
    method = "GET" if body is None else "POST"
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
    if data:
        head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
    return f"{head}\r\n".encode() + data


def rows() -> list[Row]:
    """Measure, in about two minutes; says on the error channel how far it is."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        home = Path(folder)
        variables = {"AIOPS_HOME": folder, "SYNTHETIC_END": "2026-11-01", "MODELS": NAME}
        _say(f"serving: training {NAME}")
        subprocess.run([BIN / "aiops", "run"], env={**os.environ, **variables}, check=True, capture_output=True)
        model_file = home / "models" / NAME / "current" / "model.joblib"
        pipeline = isolation_forest.from_bytes(model_file.read_bytes())
        port, bare_port = free_port(), free_port()
        service = [str(BIN / "aiops"), "serve", "--host", "127.0.0.1", "--port", str(port)]
        bare = [sys.executable, "-m", BARE_APPS, str(bare_port), str(model_file)]
        in_process = _in_process(FlatForest.from_pipeline(pipeline), pipeline)
        pid = stack.enter_context(_serving(service, variables, port, MODEL, home / "service.log"))
        # First, because what the large requests leave free would hide what is lost with small ones.
        memory = _memory(stack.enter_context(Connection(port)), pid)
        stack.enter_context(_serving(bare, {}, bare_port, "/empty", home / "bare.log"))
        ours, beside = (stack.enter_context(Connection(number)) for number in (port, bare_port))
        return [*in_process, *_over_http(ours, beside, pipeline), *memory]


def _in_process(forest: FlatForest, pipeline: Any) -> list[Row]:
    one, many = healthy_rows(1, 1), healthy_rows(MANY, 1)
    small = _in_turn({"ours": lambda: forest.predict(one), "pipeline": lambda: pipeline.predict(one)}, 20)
    large = _in_turn({"ours": lambda: forest.predict(many), "pipeline": lambda: pipeline.predict(many)}, 8)
    return [
        _row("a row in process: the Pipeline / ours", small, "pipeline", "ours", 20.0, at_least=True),
        _row(f"{MANY:,} rows in process: the Pipeline / ours", large, "pipeline", "ours", 3.0, at_least=True),
    ]


def _over_http(ours: Connection, bare: Connection, pipeline: Any) -> list[Row]:
    one, many = healthy_rows(1, 1), healthy_rows(MANY, 1)
    small, large = {"instances": one.tolist()}, {"instances": many.tolist()}
    if json.loads(_answer(ours, request(PREDICT, large)))["predictions"] != pipeline.predict(many).tolist():
        raise RuntimeError("the service answers otherwise than the Pipeline")
    if json.loads(_answer(ours, _detect(one[0])))["summary"]["total"] != len(FEATURES):
        raise RuntimeError("the service did not count every metric")
    _say("serving: single rows")
    quick = {
        "empty": _call(bare, request("/empty")),
        "ours": _call(ours, request(PREDICT, small)),
        "detect": _call(ours, _detect(one[0])),
    }
    with_few = {"pipeline": _call(bare, request("/predict", small)), "ours": quick["ours"]}
    with_many = {"pipeline": _call(bare, request("/predict", large)), "ours": _call(ours, request(PREDICT, large))}
    found, few = _in_turn(quick, 300), _in_turn(with_few, 20)
    _say(f"serving: {MANY:,} rows")
    crowd = _in_turn(with_many, 8)
    return [
        _row("a row over HTTP: ours / an empty route", found, "ours", "empty", 2.0),
        _row("a row over HTTP: FastAPI with the Pipeline / ours", few, "pipeline", "ours", 20.0, at_least=True),
        _row(f"{len(FEATURES)} named metrics to detect / an empty route", found, "detect", "empty", 4.0),
        _row(
            f"{MANY:,} rows over HTTP: FastAPI with the Pipeline / ours", crowd, "pipeline", "ours", 1.5, at_least=True
        ),
    ]


def _memory(ours: Connection, pid: int) -> list[Row]:
    """Ninety rows, nine rows of named metrics and a row that is refused, in any order, again and again."""
    rng = np.random.default_rng(1)
    asked = [request(PREDICT, {"instances": [row]}) for row in healthy_rows(90, 2).tolist()]
    asked += [_detect(row) for row in healthy_rows(9, 3)] + [request(PREDICT, {"instances": [[0.5] * 44]})]
    order = rng.permutation(len(asked))
    process, megabytes, statuses = psutil.Process(pid), {}, Counter[int]()
    for n in range(1, LAST + 1):
        status, _ = ours.ask(asked[order[n % len(asked)]])
        statuses[status] += 1
        if n % WARM == 0:
            megabytes[n] = process.memory_info().rss / 1e6
            _say(f"serving: {n:7,} requests, {megabytes[n]:.1f} MB")
    if set(statuses) != {200, 400} or statuses[400] != LAST // len(asked):
        raise RuntimeError(f"answers of other status than expected: {dict(statuses)}")
    growth = megabytes[LAST] - megabytes[WARM]
    ratio = f"{megabytes[LAST]:.1f} / {megabytes[WARM]:.1f} MB, {megabytes[LAST] / megabytes[WARM]:.3f}"
    return [Row(f"MB the service grows by from request {WARM:,} to {LAST:,} ({ratio})", growth, MAX_MEGABYTES)]


def _detect(row: Floats) -> bytes:
    named = [{"name": name, "value": value} for name, value in zip(FEATURES, row.tolist(), strict=True)]
    return request(DETECT, {"metrics": named})


def _answer(connection: Connection, asked: bytes) -> bytes:
    status, body = connection.ask(asked)
    if status != 200:
        raise RuntimeError(f"status {status}: {body[:500].decode()}")
    return body


def _call(connection: Connection, asked: bytes) -> Call:
    return lambda: _answer(connection, asked)


def _in_turn(calls: Mapping[str, Call], times: int) -> Found:
    """The median microseconds of each call in its best round: what else a machine does only ever adds to them."""
    rounds = [
        {name: median(_microseconds(call) for _ in range(times)) for name, call in calls.items()} for _ in range(ROUNDS)
    ]
    return {name: min(found[name] for found in rounds) for name in calls}


def _microseconds(call: Call) -> float:
    began = time.perf_counter()
    call()
    return 1e6 * (time.perf_counter() - began)


def _row(what: str, found: Found, above: str, below: str, limit: float, *, at_least: bool = False) -> Row:
    text = f"{what} ({found[above]:,.0f} / {found[below]:,.0f} us)"
    return Row(text, found[above] / found[below], limit, at_least)


@contextmanager
def _serving(command: list[str], variables: Mapping[str, str], port: int, path: str, log: Path) -> Iterator[int]:
    """Start a server, yield its process when the path answers 200, end it.

    Raises:
        RuntimeError: it does not within a minute; the message carries the end of its log.
    """
    with log.open("wb") as output:
        server = subprocess.Popen(command, env={**os.environ, **variables}, stdout=output, stderr=output)
    try:
        if not _becomes_ready(server, port, path):
            raise RuntimeError(f"{' '.join(command)} is not ready: {log.read_text()[-2000:]}")
        yield server.pid
    finally:
        server.terminate()
        try:
            server.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _becomes_ready(server: subprocess.Popen[bytes], port: int, path: str) -> bool:
    ends = time.monotonic() + READY_SECONDS
    while server.poll() is None and time.monotonic() < ends:
        try:
            with Connection(port) as connection:
                if connection.ask(request(path))[0] == 200:
                    return True
        except OSError:
            pass
        time.sleep(0.1)
    return False


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    measured = rows()
    print(*measured, sep="\n")
    sys.exit(any(not row.kept for row in measured))
