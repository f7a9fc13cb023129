"""The exceptions of this package. Each message says what is wrong and what to do about it.

Messages are for people and may change. Programs and tests ask for the type, the ``code`` and the ``facts``.

AiopsError
├── SettingsError              an environment variable has a value that is not allowed
├── DataError                  rows that cannot be used
│   ├── SchemaError            columns, units or time grid differ from what is declared
│   └── EmptyDataError         a source answered, with nothing in it
├── PrometheusError            a metrics server did not give an answer that can be used
│   ├── PrometheusUnreachable  no connection, time-out, gateway error, cut-off answer: worth another try,
│   │                          and the only one a fallback may act on
│   ├── PrometheusAccessError  401, 403, a redirect, a login page
│   ├── PrometheusQueryError   Prometheus does not take the query; carries its own text
│   │   └── PrometheusTooMuch  too many samples or too long: a shorter range may pass
│   ├── PrometheusAnswerError  an answer that breaks the API's contract
│   │   └── PrometheusPartial  an answer that is marked incomplete by a warning
│   └── OtherClusterError      the server is of another cluster than the days that are stored
├── ServiceError               the ML service gave no answer that can be used
│   ├── ServiceRefused         4xx: the request is wrong; carries the server's own words and the status
│   └── ServiceUnavailable     no connection, time-out, 5xx, an answer that breaks the contract
│       └── ServiceCircuitOpen it failed so often that no request is sent for now
├── StoreError                 a read or write below AIOPS_HOME or MODEL_ROOT failed
│   ├── NotFoundError          nothing under that name yet
│   ├── ConflictError          somebody else wrote first; nothing was changed
│   └── IntegrityError         content differs from its recorded digest
├── ModelError                 a model cannot be fitted, or gives no usable prediction
├── UnknownModel               no model of that name
├── UnknownSubject             no pod, node or metric of that name has scores
├── ServiceNotReady            nothing can answer yet
└── ServiceBusy                more is asked of the service than it can answer in time
"""

import re
from typing import Any


class AiopsError(Exception):
    """Base of every error this package raises on purpose.

    Attributes:
        code: which error it is, beside its type; the type's own name in lower case where no other is given.
        facts: what the message names: numbers, names, places.
    """

    def __init__(self, message: str = "", *, code: str = "", **facts: Any) -> None:
        super().__init__(message)
        self.code = code or re.sub(r"(?<=.)(?=[A-Z])", "_", type(self).__name__).lower()
        self.facts = facts


class SettingsError(AiopsError):
    """An environment variable has a value that is not allowed."""


class DataError(AiopsError):
    """Rows that cannot be used."""


class SchemaError(DataError):
    """Columns, units or time grid differ from what is declared."""


class EmptyDataError(DataError):
    """A source answered, with nothing in it."""


class PrometheusError(AiopsError):
    """A metrics server did not give an answer that can be used."""


class PrometheusUnreachable(PrometheusError):
    """No connection, time-out, gateway error or cut-off answer: the only failure a fallback may act on.

    ``retry_after``: seconds that the server wants to wait until the next request; ``None`` where it names none.
    """

    def __init__(self, message: str, retry_after: float | None = None, *, code: str = "", **facts: Any) -> None:
        super().__init__(message, code=code, **facts)
        self.retry_after = retry_after


class PrometheusAccessError(PrometheusError):
    """The server, or something before it, gives no access: 401, 403, a redirect, a login page."""


class PrometheusQueryError(PrometheusError):
    """Prometheus does not take the query; the message carries its own text."""


class PrometheusTooMuch(PrometheusQueryError):
    """Too many samples, too many bytes or too long an evaluation: a shorter range may pass."""


class PrometheusAnswerError(PrometheusError):
    """An answer that breaks the API's contract."""


class PrometheusPartial(PrometheusAnswerError):
    """An answer that is marked incomplete by a warning."""


class OtherClusterError(PrometheusError):
    """The server is of another cluster than the days that are stored under the same name; nothing was fetched."""


class ServiceError(AiopsError):
    """The ML service gave no answer that can be used."""


class ServiceRefused(ServiceError):
    """4xx: the request is wrong, and sending it again does not help; the message carries the server's own words."""

    def __init__(self, message: str, status: int, *, code: str = "", **facts: Any) -> None:
        super().__init__(message, code=code, **facts)
        self.status = status


class ServiceUnavailable(ServiceError):
    """No connection, time-out, 5xx, or an answer that breaks the contract."""


class ServiceCircuitOpen(ServiceUnavailable):
    """The service failed so often that no request is sent for now."""


class StoreError(AiopsError):
    """A read or write below AIOPS_HOME or MODEL_ROOT failed."""


class NotFoundError(StoreError):
    """Nothing is stored under that name yet."""


class ConflictError(StoreError):
    """Somebody else wrote first; nothing was changed."""


class IntegrityError(StoreError):
    """Content differs from its recorded digest."""


class ModelError(AiopsError):
    """A model cannot be fitted, or gives no usable prediction."""


def package_missing(package: str, extra: str) -> ModelError:
    """The error of a model that needs a package which is not installed; ``extra`` of this package brings it."""
    text = f"{package} is not installed: pip install 'aiops-assets[{extra}]'"
    return ModelError(text, code="package_missing", package=package)


class UnknownModel(AiopsError):
    """No model of that name."""


class UnknownSubject(AiopsError):
    """No pod, node or metric of that name is in the newest run of scores; the message names those most like it."""


class ServiceNotReady(AiopsError):
    """Nothing can answer yet: no version has passed its smoke inference."""


class ServiceBusy(AiopsError):
    """More is asked of the service than it can answer in time; the fact ``retry_after`` is when to ask again, s."""
