"""Sends samples to a server by Prometheus remote write 1.0: protobuf, compressed by snappy, bounded in size and time.

The protocol: https://prometheus.io/docs/specs/prw/remote_write_spec/. Labels of a series are sorted by name and not
empty, times are milliseconds. 5xx and 429 are tried again, another status is final.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import requests
import urllib3

from aiops_assets.errors import PrometheusAccessError, PrometheusAnswerError, PrometheusError, PrometheusUnreachable
from aiops_assets.http_client import read_token, reason_of
from aiops_assets.masking import Secrets, secrets_of_bearer
from aiops_assets.prometheus.access import TENANT_HEADER
from aiops_assets.prometheus.deadline import DeadlineSession
from aiops_assets.prometheus.refusals import retry_after
from aiops_assets.prometheus.retry import Retry
from aiops_assets.prometheus.transport import Answer
from aiops_assets.prometheus.wording import one_line

MOST_SERIES = 2000
"""Series of a request: some 100 kB once compressed."""
DEADLINE_SECONDS = 60.0
"""For all requests together, retries included."""
WAIT_SECONDS = 15.0
"""Longest silence of the server."""
MOST_ANSWER_BYTES = 1 << 16
"""What is read of an answer: a refusal's words are one line."""
HEADERS = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
    "User-Agent": "aiops-assets",
}
TOO_BUSY = 429


@dataclass(frozen=True)
class Sample:
    """One value of one series.

    Attributes:
        name: of the metric.
        labels: by name; empty ones are left out.
        value: any number, also infinite or NaN.
        milliseconds: Unix time.
    """

    name: str
    labels: Mapping[str, str]
    value: float
    milliseconds: int


@dataclass(frozen=True)
class Sent:
    """What became of a number of samples.

    Attributes:
        series: how many the server has taken.
        of: how many there were.
        requests: how many requests it took, retries not counted.
        error: why the others were not taken; ``None``: all were.
    """

    series: int
    of: int
    requests: int
    error: PrometheusError | None = None


@dataclass(frozen=True)
class RemoteWriter:
    """Writes to one server.

    Attributes:
        url: the receiver's whole URL, such as ``http://host:9090/api/v1/write``.
        token_file: a bearer token alone, read for each request.
        ca_file: PEM bundle that the server's certificate must chain to; by default the public one.
        tenant: ``X-Scope-OrgID``; "" for none.
        retry: how often a request is repeated; its deadline is what is left of ``deadline_seconds``.
        deadline_seconds: for all requests together.
        most_series: of a request.
        clock: a monotonic clock, seconds.
    """

    url: str
    token_file: Path | None = None
    ca_file: Path | None = None
    tenant: str = ""
    retry: Retry = field(default_factory=Retry)
    deadline_seconds: float = DEADLINE_SECONDS
    most_series: int = MOST_SERIES
    clock: Callable[[], float] = time.monotonic

    def send(self, samples: Iterable[Sample]) -> Sent:
        """Send all samples, in requests one after the other; the first that fails is the last. Raises nothing of it."""
        ends = self.clock() + self.deadline_seconds
        series = list(samples)
        done = requests_made = 0
        with DeadlineSession() as session:
            for first in range(0, len(series), self.most_series):
                part = series[first : first + self.most_series]
                try:
                    self._send(session, encoded(part), ends)
                except PrometheusError as error:
                    return Sent(done, len(series), requests_made + 1, error)
                done += len(part)
                requests_made += 1
        return Sent(done, len(series), requests_made)

    def _send(self, session: DeadlineSession, body: bytes, ends: float) -> None:
        left = ends - self.clock()
        if left <= 0:
            raise PrometheusUnreachable(
                f"{self.url} did not take all samples within {self.deadline_seconds:g} s; look at the network to "
                "REMOTE_WRITE_URL and at the server's load",
                code="write_too_slow",
                deadline_seconds=self.deadline_seconds,
            )
        limited = replace(self.retry, deadline_seconds=min(left, self.retry.deadline_seconds))
        limited.call(lambda: self._post(session, body, ends))

    def _post(self, session: DeadlineSession, body: bytes, ends: float) -> None:
        """One request.

        Raises:
            PrometheusUnreachable: no answer, 5xx or 429.
            PrometheusAccessError: no usable file of a token or of certificates, 401, 403, or a redirect.
            PrometheusAnswerError: any other status but 2xx.
        """
        headers, secrets = dict(HEADERS), Secrets()
        if self.token_file is not None:
            token = read_token(self.token_file, "bearer token", "REMOTE_WRITE_TOKEN_FILE", PrometheusAccessError)
            headers["Authorization"], secrets = f"Bearer {token}", Secrets(secrets_of_bearer(token))
        if self.tenant:
            headers[TENANT_HEADER] = self.tenant
        session.deadline.begin(max(ends - self.clock(), 0.1), WAIT_SECONDS)
        try:
            verify = True if self.ca_file is None else str(self.ca_file)
            with session.post(
                self.url, body, headers=headers, verify=verify, timeout=WAIT_SECONDS, allow_redirects=False, stream=True
            ) as response:
                if 200 <= response.status_code < 300:  # taken, whatever else it says
                    return
                words = response.raw.read(MOST_ANSWER_BYTES, decode_content=True)
                shown = {name.lower(): secrets.masked(value) for name, value in response.headers.items()}
                answer = Answer(response.status_code, shown, secrets.masked_body(words))
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            failure = self._failure(error, secrets)
        else:
            failure = self._refusal(answer)
        # Not while the other error is handled: as its context, that would be shown with what the server sent.
        raise failure

    def _failure(self, error: Exception, secrets: Secrets) -> PrometheusError:
        reason = secrets.masked(reason_of(error))
        if isinstance(error, requests.exceptions.SSLError) or (
            isinstance(error, OSError) and not isinstance(error, requests.RequestException)
        ):
            return PrometheusAccessError(
                f"{self.url}: {reason}; REMOTE_WRITE_CA_FILE must name a readable PEM bundle that signed the server's "
                "certificate",
                code="tls_failed",
                reason=reason,
            )
        return PrometheusUnreachable(
            f"no answer from {self.url} ({reason}); check REMOTE_WRITE_URL and that the server runs",
            code="no_answer",
            reason=reason,
        )

    def _refusal(self, answer: Answer) -> PrometheusError:
        status, words = answer.status, one_line(answer.body)
        facts: dict[str, Any] = {"status": status, "text": words}
        stated = f"{self.url}: HTTP {status}: {words}" if words else f"{self.url}: HTTP {status}"
        if status >= 500 or status == TOO_BUSY:
            return PrometheusUnreachable(
                f"{stated}; the server is overloaded or failing", retry_after(answer), code="write_failed", **facts
            )
        if status in (401, 403) or 300 <= status < 400:
            return PrometheusAccessError(
                f"{stated}; REMOTE_WRITE_TOKEN_FILE must hold a token that may write, and REMOTE_WRITE_URL be the "
                "receiver itself",
                code="access_refused",
                **facts,
            )
        return PrometheusAnswerError(
            f"{stated}; the server must receive remote write (--web.enable-remote-write-receiver) at REMOTE_WRITE_URL, "
            "and take samples of now",
            code="write_refused",
            **facts,
        )


def encoded(samples: Sequence[Sample]) -> bytes:
    """The body of a request: a ``WriteRequest`` of one sample a series, in snappy's block format."""
    import pyarrow as pa

    request = _write_request()()
    for sample in samples:
        series = request.timeseries.add()
        for name, value in sorted({"__name__": sample.name, **sample.labels}.items()):
            if value:
                series.labels.add(name=name, value=value)
        series.samples.add(value=sample.value, timestamp=sample.milliseconds)
    compressed: bytes = pa.compress(request.SerializeToString(), codec="snappy", asbytes=True)
    return compressed


def samples_of(families: Iterable[Any], milliseconds: int) -> Iterator[Sample]:
    """What a scrape finds in metric families of ``prometheus_client``, at one time."""
    for family in families:
        for sample in family.samples:
            yield Sample(sample.name, sample.labels, float(sample.value), milliseconds)


@cache
def _write_request() -> Any:
    """The message class of ``prometheus.WriteRequest``, as far as version 1.0 needs it; strings are UTF-8."""
    from google.protobuf import (  # type: ignore[import-untyped]
        descriptor_pb2,
        descriptor_pool,
        message_factory,
    )

    kinds = descriptor_pb2.FieldDescriptorProto
    one, many = kinds.LABEL_OPTIONAL, kinds.LABEL_REPEATED
    messages = {
        "Label": [("name", 1, kinds.TYPE_STRING, one, ""), ("value", 2, kinds.TYPE_STRING, one, "")],
        "Sample": [("value", 1, kinds.TYPE_DOUBLE, one, ""), ("timestamp", 2, kinds.TYPE_INT64, one, "")],
        "TimeSeries": [
            ("labels", 1, kinds.TYPE_MESSAGE, many, "Label"),
            ("samples", 2, kinds.TYPE_MESSAGE, many, "Sample"),
        ],
        "WriteRequest": [("timeseries", 1, kinds.TYPE_MESSAGE, many, "TimeSeries")],
    }
    package = "aiops_assets.remote_write"  # a name of ours: other libraries may register the original one
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field_name, number, kind, label, of in fields:
            type_name = f".{package}.{of}" if of else None
            message.field.add(name=field_name, number=number, type=kind, label=label, type_name=type_name)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.WriteRequest"))
