"""Faults of a real server during a fetch, of an empty and of a filled lake: the lake stays as it was."""

from datetime import timedelta
from pathlib import Path

import pytest

from aiops_assets.datasets.ingest import ingest_metric
from aiops_assets.errors import PrometheusError
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.prometheus.transport import RequestsTransport
from aiops_assets.storage.lake import Lake
from aiops_assets.timeseries.catalog import POD_CPU
from aiops_assets_tests.conftest import END
from aiops_assets_tests.prometheus.answering import AT_ONCE
from aiops_assets_tests.prometheus.fault_server import Params, Reply, faulty

pytestmark = pytest.mark.needs("prometheus")

NOW = END.to_pydatetime() + timedelta(hours=12)
DAYS = [(NOW - timedelta(days=back)).date() for back in (2, 1)]
FAULTS = {
    "no access": Reply(401, body=b"Unauthorized"),
    "forbidden": Reply(403, body=b"Forbidden"),
    "log in": Reply(200, {"Content-Type": "text/html"}, b"<!doctype html><form>Log in</form>"),
    "elsewhere": Reply(302, {"Location": "http://127.0.0.1:1/"}, b""),
    "error with 200": Reply(200, body=b'{"status":"error","errorType":"internal","error":"the disk is gone"}'),
    "error with 500": Reply(500, body=b'{"status":"error","errorType":"internal","error":"the disk is gone"}'),
    "no route": Reply(404, body=b"404 page not found"),
    "bad query": Reply(400, body=b'{"status":"error","errorType":"bad_data","error":"parse error"}'),
    "busy": Reply(503, body=b"busy"),
    "slow down": Reply(429, body=b"slow down"),
    "gateway": Reply(502, body=b"bad gateway"),
    "a store is away": Reply(
        change=lambda body: body.replace(b'"success",', b'"success","warnings":["no store-1"],', 1)
    ),
    "nothing": Reply(body=b""),
    "null": Reply(body=b"null"),
    "half": Reply(change=lambda body: body[: len(body) // 2]),
    "cut off": Reply(cut_after=1000),
    "cut off at once": Reply(cut_after=0),
    "a vector": Reply(body=b'{"status":"success","data":{"resultType":"vector","result":[]}}'),
    "no text": Reply(change=lambda body: body.replace(b'"pod":"', b'"pod":"\\ud800', 1)),
    "no number": Reply(change=lambda body: body.replace(b',"0', b',"x0', 1)),
    "one series twice": Reply(
        body=b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[]},{"metric":{},"values":[]}]}}'
    ),
    "another status": Reply(418, body=b"teapot"),
}


def _files(lake: Lake) -> dict[str, bytes]:
    root = Path(lake.storage.url)
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.parquet")}


def _fetch(url: str, lake: Lake, *, refetch: bool = False) -> None:
    with RequestsTransport(url, timeout_seconds=5, deadline_seconds=10) as transport:
        ingest_metric(PrometheusClient(transport, retry=AT_ONCE), lake, POD_CPU, DAYS, NOW, refetch=refetch)


@pytest.mark.parametrize("filled", [False, True], ids=["empty", "filled"])
def test_a_fault_leaves_the_lake_as_it_was(prometheus_url: str, lake: Lake, filled: bool) -> None:
    if filled:
        _fetch(prometheus_url, lake)
    before = _files(lake)
    assert len(before) == (len(DAYS) if filled else 0)
    stopped = []
    for name, reply in FAULTS.items():

        def fault(number: int, path: str, params: Params, reply: Reply = reply) -> Reply | None:
            return reply if path.endswith("query_range") else None

        with faulty(prometheus_url, fault) as server:
            try:
                _fetch(server.url, lake, refetch=True)
            except PrometheusError:
                stopped.append(name)
        assert _files(lake) == before, name
    assert stopped == list(FAULTS)
    _fetch(prometheus_url, lake, refetch=True)
    assert len(_files(lake)) == len(DAYS)
