"""Which cluster the days of a lake are of: a record beside them, which only a fetch or a person changes."""

from pydantic import ValidationError

from aiops_assets.errors import IntegrityError, NotFoundError
from aiops_assets.storage.records import Record
from aiops_assets.storage.storage import Storage


class KnownCluster(Record):
    """A cluster whose days the lake holds.

    Attributes:
        id: names it in day files, training sets and manifests; 12 hex digits of the facts at first sight.
        since: ISO time of the first fetch.
        server: host:port of that fetch.
        births: Unix seconds at which the cluster was made.
        labels: external labels of its server, without those of a replica.
        nodes: names of its nodes at the newest fetch.
        named_by: metric that named the nodes.
        who: the person who confirmed that the facts may differ from those before; empty: nobody had to.
    """

    id: str
    since: str
    server: str
    births: tuple[float, ...] = ()
    labels: dict[str, str] = {}
    nodes: tuple[str, ...] = ()
    named_by: str = ""
    who: str = ""


class ClusterRecord(Record):
    """All clusters whose days the lake holds, newest first: more than one after somebody confirmed a rebuilt one."""

    known: tuple[KnownCluster, ...]

    @property
    def newest(self) -> KnownCluster:
        """The cluster that is fetched from."""
        return self.known[0]

    @property
    def ids(self) -> frozenset[str]:
        """Ids of all clusters."""
        return frozenset(cluster.id for cluster in self.known)


class ClusterRecords:
    """The record of one CLUSTER."""

    def __init__(self, storage: Storage, cluster: str) -> None:
        self.storage = storage
        self.path = f"lake/cluster={cluster}/cluster.json"

    def read(self) -> ClusterRecord | None:
        """The record; ``None`` before the first fetch.

        Raises:
            IntegrityError: it cannot be read.
        """
        data = self._data()
        return None if data is None else self._parsed(data)

    def replace(self, before: ClusterRecord | None, after: ClusterRecord) -> None:
        """Store a record.

        Raises:
            ConflictError: the stored record is not ``before`` any more.
        """
        data = self._data()
        stored = None if data is None else self._parsed(data)
        expected = data if stored == before else b""
        self.storage.compare_and_swap(self.path, expected, after.to_bytes())

    def _data(self) -> bytes | None:
        try:
            return self.storage.read(self.path)
        except NotFoundError:
            return None

    def _parsed(self, data: bytes) -> ClusterRecord:
        try:
            return ClusterRecord.model_validate_json(data)
        except ValidationError:
            raise IntegrityError(
                f"{self.storage.locate(self.path)} is not a valid record: `aiops lake confirm` makes it anew from the "
                "server of PROMETHEUS_URL",
                code="invalid_cluster_record",
            ) from None
