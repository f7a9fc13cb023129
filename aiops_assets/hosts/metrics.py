"""The fourteen metrics of a host, a row a minute, as the ML setup guide defines them."""

from dataclasses import dataclass

LABEL = "label"
NORMAL = "normal"


@dataclass(frozen=True)
class HostMetric:
    """One column of a host's rows.

    Attributes:
        name: column.
        unit: of its values.
        decimals: digits that are kept: what lies beyond is noise of the measurement.
        minute_change_of: the metric of which this is the change in a minute; empty: it is measured itself.
        low: least value; ``None``: none.
        high: largest value; ``None``: none.
    """

    name: str
    unit: str
    decimals: int
    minute_change_of: str = ""
    low: float | None = 0.0
    high: float | None = None


CPU = HostMetric("cpu_usage_percent", "percent of all cores", 2, high=100.0)
MEMORY_MB = HostMetric("memory_usage_mb", "MB", 1)
MEMORY = HostMetric("memory_usage_percent", "percent", 2, high=100.0)
DISK = HostMetric("disk_usage_percent", "percent", 3, high=100.0)
DISK_READ = HostMetric("disk_io_read_mb", "MB a minute", 3)
DISK_WRITE = HostMetric("disk_io_write_mb", "MB a minute", 3)
REQUESTS = HostMetric("active_requests", "requests", 0)
ERRORS = HostMetric("error_rate", "errors a second", 5)
P50 = HostMetric("response_time_p50", "ms", 2)
P95 = HostMetric("response_time_p95", "ms", 2)
P99 = HostMetric("response_time_p99", "ms", 2)
CPU_CHANGE = HostMetric("cpu_rate_of_change", "percent a minute", 2, CPU.name, low=None)
MEMORY_CHANGE = HostMetric("memory_rate_of_change", "percent a minute", 2, MEMORY.name, low=None)
ERROR_TREND = HostMetric("error_rate_trend", "errors a second a minute", 5, ERRORS.name, low=None)

HOST_METRICS = (
    CPU, MEMORY_MB, MEMORY, DISK, DISK_READ, DISK_WRITE, REQUESTS, ERRORS, P50, P95, P99,
    CPU_CHANGE, MEMORY_CHANGE, ERROR_TREND,
)  # fmt: skip
HOST_COLUMNS = tuple(metric.name for metric in HOST_METRICS)
