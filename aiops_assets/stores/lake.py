"""The lake: what was fetched, a Parquet file per cluster, metric, query and UTC day.

The query is part of the path: a changed query is a new series, never mixed with the old one.
"""

import hashlib
import io
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from aiops_assets.errors import IntegrityError, NotFoundError, SchemaError
from aiops_assets.stores.records import Record
from aiops_assets.stores.storage import Storage
from aiops_assets.timeseries.catalog import MetricSpec
from aiops_assets.timeseries.schema import content_digest

METADATA_KEY = b"aiops"
LONG_COLUMNS = ["timestamp", "series", "value"]


class DayInfo(Record):
    """What a day file says of itself.

    ``coverage`` is the share of the day's minutes at which any series has a sample.
    """

    metric: str
    day: str
    query: str
    unit: str
    step_seconds: int
    digest: str
    series: int
    samples: int
    coverage: float
    fetched: str


class Lake:
    """Days of metrics of one cluster."""

    def __init__(self, storage: Storage, cluster: str) -> None:
        self.storage = storage
        self.cluster = cluster

    def write_day(self, metric: MetricSpec, day: date, wide: pd.DataFrame, fetched: str) -> DayInfo:
        """Write a day, replacing an earlier fetch of it.

        Args:
            metric: whose query was asked.
            day: UTC day.
            wide: index of the day's grid, a column a series named by its labels as JSON; NaN: no sample.
            fetched: ISO time of the fetch.
        """
        long = _to_long(wide)
        info = DayInfo(
            metric=metric.name,
            day=day.isoformat(),
            query=metric.promql,
            unit=metric.unit,
            step_seconds=metric.step_seconds,
            digest=content_digest(long),
            series=wide.shape[1],
            samples=len(long),
            coverage=float(wide.notna().any(axis=1).mean()) if len(wide) else 0.0,
            fetched=fetched,
        )
        table = pa.Table.from_pandas(long, preserve_index=False)
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), METADATA_KEY: info.to_bytes()})
        buffer = io.BytesIO()
        pq.write_table(table, buffer, compression="zstd")
        self.storage.write(self._path(metric, day), buffer.getvalue())
        return info

    def read_day(self, metric: MetricSpec, day: date) -> tuple[pd.DataFrame, DayInfo]:
        """A day as it was fetched, wide, and what it says of itself.

        Raises:
            NotFoundError: that day was never fetched with this query.
            IntegrityError: its rows do not have the recorded digest.
        """
        path = self._path(metric, day)
        where = self.storage.locate(path)
        try:
            data = self.storage.read(path)
        except NotFoundError:
            raise NotFoundError(f"{metric.name} of {day}: not in the lake; materialize raw_metrics for it") from None
        try:
            table = pq.read_table(io.BytesIO(data))
            info = DayInfo.model_validate_json((table.schema.metadata or {})[METADATA_KEY])
            long = table.to_pandas()
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise IntegrityError(f"{where} is damaged ({type(error).__name__}): fetch the day again") from None
        if list(long.columns) != LONG_COLUMNS or _digest(long) != info.digest:
            raise IntegrityError(f"{where}: rows differ from the recorded digest: fetch the day again")
        return long.pivot(index="timestamp", columns="series", values="value"), info

    def days(self, metric: MetricSpec) -> list[date]:
        """Days there are of a metric's present query, in order."""
        names = self.storage.names(self._folder(metric))
        stems = [name.removeprefix("day=").removesuffix(".parquet") for name in names if name.endswith(".parquet")]
        return sorted(date.fromisoformat(stem) for stem in stems)

    def _folder(self, metric: MetricSpec) -> str:
        query = hashlib.blake2b(metric.promql.encode(), digest_size=4).hexdigest()
        return f"lake/cluster={self.cluster}/metric={metric.name}/query={query}"

    def _path(self, metric: MetricSpec, day: date) -> str:
        return f"{self._folder(metric)}/day={day.isoformat()}.parquet"


def _to_long(wide: pd.DataFrame) -> pd.DataFrame:
    """Rows (timestamp, series, value) by series, then time, without the missing ones."""
    columns = sorted(map(str, wide.columns))
    values = wide[columns].to_numpy(dtype=np.float64).T
    series, time = np.nonzero(~np.isnan(values))
    return pd.DataFrame(
        {
            "timestamp": wide.index[time],
            "series": np.array(columns, dtype=object)[series],
            "value": values[series, time],
        }
    )


def _digest(long: pd.DataFrame) -> str:
    """Content digest; empty for columns of kinds that no day has."""
    try:
        return content_digest(long)
    except SchemaError:
        return ""
