"""Limits that servers put on a query, by the words in which they report them: what cures each.

One table for all products, since proxies pass texts on under statuses of their own. The texts are those of Prometheus
(promql/engine.go, web/api/v1), Thanos (store/limiter.go, gRPC's ResourceExhausted), Cortex (util/limiter, validation),
Mimir (util/globalerror) and VictoriaMetrics (vmselect/netstorage, promql/eval.go, lib/storage).
"""

from dataclasses import dataclass

from aiops_assets.timeseries.series import DAY_SECONDS


@dataclass(frozen=True)
class Limit:
    """A limit of a server.

    Attributes:
        words: part of the server's text, in lower case.
        cure: what to do about it.
        retry: a later request may succeed as it is.
        least_seconds: a shorter range helps only above this length: a query selects as many series in an hour as in
            the day around it, and more in a month, in which pods come and go.
    """

    words: str
    cure: str
    retry: bool = False
    least_seconds: int = 0


_SHORTER = "request a shorter range"
_FEWER = "select fewer series in the query, e.g. by PROMETHEUS_MATCHER, or raise the server's limit"
_LATER = "the server has too many queries at a time"

LIMITS = (
    *(
        Limit(words, _LATER, retry=True)
        for words in (
            "-search.maxconcurrentrequests",  # VictoriaMetrics
            "too many outstanding requests",  # Cortex, Mimir
        )
    ),
    *(
        Limit(words, _FEWER, least_seconds=DAY_SECONDS)
        for words in (
            "-search.maxuniquetimeseries",  # VictoriaMetrics
            "matching timeseries exceeds",
            "matching unique timeseries exceeds",
            "-search.maxresponseseries",
            "max number of series limit",  # Cortex
            "maximum number of series",  # Mimir
            "err-mimir-max-series-per-query",
            "exceeded series limit",  # Thanos' stores
        )
    ),
    *(
        Limit(words, _SHORTER)
        for words in (
            "too many samples",  # Prometheus, and all that use its engine
            "exceeded maximum resolution",
            "exceeded sample limit",
            "context deadline exceeded",
            "-search.maxsamplesper",  # VictoriaMetrics: Query, Series
            "-search.maxpoints",
            "too many points",
            "-search.maxmemoryperquery",
            "not enough memory for processing",
            "timeout exceeded",
            "query time range exceeds the limit",  # Cortex, Mimir
            "err-mimir-max-query-length",
            "err-mimir-max-total-query-length",
            "max number of chunks limit",  # Cortex
            "chunks size limit",
            "data size limit",
            "max number of chunk bytes limit",
            "maximum number of chunks",  # Mimir
            "err-mimir-max-chunks",
            "err-mimir-max-estimated",
            "estimated amount of memory",
            "exceeded chunks limit",  # Thanos' stores, also inside Cortex and Mimir
            "exceeded samples limit",
            "exceeded bytes limit",
            "resourceexhausted",
            "message larger than max",  # gRPC
            "response too large",
            "response is too large",
        )
    ),
)
"""The first that fits counts: a text may name several."""


def limit_in(text: str) -> Limit | None:
    """The limit that a server's text is about; ``None``: it is about something else."""
    words = text.lower()
    return next((limit for limit in LIMITS if limit.words in words), None)
