"""A metrics server that has no samples: it computes its answers, for as many pods and days as are asked for.

``python -m aiops_assets_tests.benchmarks.computing_server PODS`` prints its port and answers until it is ended. A
Prometheus would need hours and a disk to take in what it makes up. Its text is made by numpy, a few bytes a nanosecond,
and has the form and as many digits as Prometheus' own.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
import numpy.typing as npt

from aiops_assets.prometheus.evidence import BIRTH, NODES
from aiops_assets.timeseries.catalog import METRICS, MetricSpec, series_count

BEGUN = 1_700_000_000
DIGITS = 16
PODS_OF_A_NODE = 50
Bytes = npt.NDArray[np.uint8]
QUERIES = {spec.promql: spec for metric in METRICS for spec in (metric.members, metric)}
COUNTED = {metric.members.promql: metric for metric in METRICS}
COUNTS = {series_count(spec.promql): spec for spec in QUERIES.values()}


class Cluster:
    """Series of so many pods, a node for every fifty, as text.

    Values are sums of a level, a daily curve and noise, between 0.1 and 0.9; counts are whole.
    """

    def __init__(self, n_pods: int) -> None:
        self.pods = [json.dumps({"pod": f"service-{i % 97:02d}-{i:07x}-abcde"}) for i in range(n_pods)]
        self.nodes = [json.dumps({"instance": f"10.0.{i // 250}.{i % 250}:9100"}) for i in range(-(-n_pods // 50))]

    def labels(self, metric: MetricSpec) -> list[str]:
        """The labels of a metric's series, as JSON; this cluster has no volumes and no quotas."""
        if metric.per == "labels":
            return []
        if metric.per == "pod":
            return self.pods
        return self.nodes if metric.per == "node" and not metric.promql.startswith("avg") else ["{}"]

    def instant(self, promql: str) -> bytes:
        """The body of an instant query's answer: counts, and what tells clusters apart."""
        found: list[tuple[str, str]] = []
        if promql == "vector(1)":
            found = [("{}", "1")]
        elif promql == BIRTH:
            found = [("{}", str(BEGUN))]
        elif promql in COUNTS:
            found = [("{}", str(len(self.labels(COUNTS[promql]))))]
        elif promql in NODES:
            found = [(json.dumps({NODES[promql]: f"node-{i}"}), "1") for i in range(len(self.nodes))]
        return _body("vector", [f'{{"metric":{one},"value":[{BEGUN},"{value}"]}}'.encode() for one, value in found])

    def matrix(self, promql: str, start: int, end: int, step: int) -> bytes:
        """The body of a range query's answer: every series of the metric at every instant."""
        metric = QUERIES[promql]
        labels, times = self.labels(metric), np.arange(start, end + 1, step)
        if not labels:
            return _body("matrix", [])
        if metric.unit == "count":
            counted = len(self.labels(COUNTED[promql])) if promql in COUNTED else 0
            text = [_whole(times, counted)] * len(labels)
        else:
            text = _samples(times, len(labels), seed=len(metric.name))
        return _body(
            "matrix", [b'{"metric":%b,"values":[%b]}' % (n.encode(), t) for n, t in zip(labels, text, strict=True)]
        )


def _body(kind: str, series: list[bytes]) -> bytes:
    start = b'{"status":"success","data":{"resultType":"%b","result":[' % kind.encode()
    return start + b",".join(series) + b"]}}"


def _whole(times: npt.NDArray[np.int64], value: int) -> bytes:
    return b",".join(b'[%d,"%d"]' % (time, value) for time in times.tolist())


def _samples(times: npt.NDArray[np.int64], n_series: int, seed: int) -> list[bytes]:
    """The samples of each series: ``[seconds,"0.digits"]`` with commas between."""
    place = np.arange(n_series, dtype=np.int64)[:, np.newaxis]
    level = 2 + (place * 7919 + seed) % 5
    noise = ((place * 2_654_435_761 + times * 40_503 + seed) * 6_364_136_223_846_793_005) >> 16 & (2**43 - 1)
    curve = (1 + np.sin(2 * np.pi * times / 86_400)) * 10 ** (DIGITS - 1)
    values = level * 10 ** (DIGITS - 1) + curve.astype(np.int64) + noise
    head = np.frombuffer(b"".join(b'[%d,"0.' % time for time in times.tolist()), np.uint8).reshape(len(times), -1)
    width = head.shape[1]
    text = np.empty((n_series, len(times), width + DIGITS + 3), dtype=np.uint8)
    text[:, :, :width] = head
    half = DIGITS // 2  # division of 32 bits is cheaper
    for at, numbers in ((width, values // 10**half), (width + half, values % 10**half)):
        part = numbers.astype(np.uint32)
        for digit in reversed(range(half)):
            text[:, :, at + digit] = part % 10 + ord("0")
            part //= 10
    text[:, :, -3:] = np.frombuffer(b'"],', np.uint8)
    return [row.tobytes()[:-1] for row in text.reshape(n_series, -1)]


class Handler(BaseHTTPRequestHandler):
    """The two routes of a query; the configuration is not to be had."""

    protocol_version = "HTTP/1.1"
    cluster: Cluster

    def do_GET(self) -> None:
        """Answer a query in its URL."""
        self._answer(urlsplit(self.path).query)

    def do_POST(self) -> None:
        """Answer a query in its body."""
        self._answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def _answer(self, query: str) -> None:
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        route = urlsplit(self.path).path
        body, status = b"", 404
        if route == "/api/v1/query":
            body, status = self.cluster.instant(asked["query"]), 200
        elif route == "/api/v1/query_range":
            bounds = (int(float(asked[name])) for name in ("start", "end", "step"))
            body, status = self.cluster.matrix(asked["query"], *bounds), 200
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until ended."""
    Handler.cluster = Cluster(int(sys.argv[1]))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
