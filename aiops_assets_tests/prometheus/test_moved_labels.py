"""A real Prometheus that scrapes kube-state-metrics twice, with and without honorLabels."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from aiops_assets.commands.metrics import metrics
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.prometheus.moved_labels import SHOWN, count_moved, describe_moved
from aiops_assets.prometheus.transport import RequestsTransport
from aiops_assets_tests.prometheus_server import running_prometheus

PODS = 3
READY_SECONDS = 30.0


class KubeState(BaseHTTPRequestHandler):
    """What kube-state-metrics shows of some pods."""

    def do_GET(self) -> None:
        """Answer a scrape."""
        lines = [f'{name}{{namespace="shop",pod="cart-{i}"}} 1\n' for name in SHOWN for i in range(PODS)]
        body = "".join(lines).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def _scraped(folder: Path) -> Iterator[str]:
    """The URL of a Prometheus that has scraped kube-state-metrics, with the labels that Kubernetes' discovery adds."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), KubeState)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    labels = "{namespace: monitoring, pod: kube-state-metrics-0}"
    target = f"{{targets: ['127.0.0.1:{server.server_address[1]}'], labels: {labels}}}"
    jobs = [
        f"{{job_name: {name}, scrape_interval: 1s, honor_labels: {honors}, static_configs: [{target}]}}"
        for name, honors in (("moved", "false"), ("kept", "true"))
    ]
    try:
        with running_prometheus(folder, configuration=f"scrape_configs: [{', '.join(jobs)}]\n") as url:
            with RequestsTransport(url) as transport:
                client, ends = PrometheusClient(transport), time.monotonic() + READY_SECONDS
                while client.count_series("kube_pod_info", datetime.now(UTC)) < 2 * PODS and time.monotonic() < ends:
                    time.sleep(0.1)
            yield url
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.needs("prometheus")
def test_labels_that_prometheus_moved_are_found(tmp_path: Path) -> None:
    with _scraped(tmp_path) as url:
        with RequestsTransport(url) as transport:
            assert count_moved(PrometheusClient(transport), datetime.now(UTC)) == PODS
        variables = {"PROMETHEUS_URL": url, "AIOPS_HOME": str(tmp_path / "home")}
        done = CliRunner().invoke(metrics, ["--probe"], env=variables)
        # Other exporters are not scraped here, which is an error, too.
        assert done.exit_code == 1
        assert "honorLabels" in done.stderr


def test_nothing_is_wrong_where_nothing_was_moved() -> None:
    assert describe_moved(0) == ""
