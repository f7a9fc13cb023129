"""What a cluster had and wanted at the newest fetch, and what of it was heard of."""

from datetime import datetime, timedelta

from pydantic import ValidationError

from aiops_assets.errors import NotFoundError
from aiops_assets.learners.silence.entities import Present
from aiops_assets.storage.records import Record
from aiops_assets.storage.storage import Storage

MAX_AGE = timedelta(minutes=10)
"""What is older says nothing about the present."""


class PresentRecord(Record):
    """The file.

    Attributes:
        at: time of the fetch.
        lasting, pods, desired, heard, nodes, series: see :class:`Present`; an earlier release knew the first three.
    """

    at: datetime
    lasting: tuple[str, ...] = ()
    pods: dict[str, str] = {}
    desired: dict[str, float] = {}
    heard: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ()
    series: dict[str, tuple[str, ...]] = {}


class PresentPods:
    """The record of one cluster, beside the days of its lake. A damaged one is none."""

    def __init__(self, storage: Storage, cluster: str) -> None:
        """Look at the record of a cluster."""
        self.storage = storage
        self._path = f"lake/cluster={cluster}/present.json"

    def write(self, record: PresentRecord) -> None:
        """Replace the record, atomically."""
        self.storage.write(self._path, record.to_bytes())

    def newest(self, now: datetime) -> Present:
        """What the cluster has; nothing where that is not known, or of more than ten minutes ago."""
        try:
            record = PresentRecord.model_validate_json(self.storage.read(self._path))
        except (NotFoundError, ValidationError):
            return Present()
        if not timedelta() <= now - record.at <= MAX_AGE:
            return Present()
        return Present(
            lasting=frozenset(record.lasting),
            pods=record.pods,
            desired=record.desired,
            heard=frozenset(record.heard),
            nodes=frozenset(record.nodes),
            series={metric: frozenset(names) for metric, names in record.series.items()},
        )
