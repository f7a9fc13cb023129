"""Training sets, stored under the digest of their rows: immutable, and found again by the name of their data."""

import io

import pandas as pd
from pydantic import ValidationError

from aiops_assets.errors import ConflictError, IntegrityError, NotFoundError
from aiops_assets.storage.digests import digest_of, read_hashed
from aiops_assets.storage.records import TrainingSetRecord, sha256
from aiops_assets.storage.remembered import Remembered
from aiops_assets.storage.storage import Storage
from aiops_assets.timeseries.schema import content_digest

ROWS, RECORD = "rows.parquet", "record.json"
MOST_SETS = 6
"""Of each view the newest, and that of its champion; 10 MB each."""
_read: Remembered[tuple[str, str], tuple[str, pd.DataFrame]] = Remembered(MOST_SETS)
"""URL of the storage and path -> digest of the file, rows."""


class TrainingSets:
    """Training sets of one cluster."""

    def __init__(self, storage: Storage, cluster: str) -> None:
        self.storage = storage
        self.cluster = cluster

    def path(self, view: str, data_version: str) -> str:
        """Directory of a training set, relative to the storage."""
        return f"training_sets/cluster={self.cluster}/view={view}/{data_version}"

    def locate(self, view: str, data_version: str) -> str:
        """Directory of a training set, for people."""
        return self.storage.locate(self.path(view, data_version))

    def put(self, rows: pd.DataFrame, record: TrainingSetRecord) -> None:
        """Store rows under their digest; the same rows again change nothing, the first record stays.

        Args:
            rows: the training set.
            record: where they come from; its ``rows_sha256`` is set here.
        """
        data = to_parquet(rows)
        record = record.model_copy(update={"rows_sha256": sha256(data)})
        try:
            files = {ROWS: data, RECORD: record.to_bytes()}
            self.storage.commit_directory(self.path(record.view, record.data_version), files, last=RECORD)
        except ConflictError:
            self._restore(data, record)

    def _restore(self, data: bytes, record: TrainingSetRecord) -> None:
        """Put back what is missing or damaged of a set whose rows are at hand again."""
        view, data_version = record.view, record.data_version
        try:
            self.rows(view, data_version)
            return
        except NotFoundError:
            self.storage.write(f"{self.path(view, data_version)}/{ROWS}", data)
            self.storage.write(f"{self.path(view, data_version)}/{RECORD}", record.to_bytes())
        except IntegrityError:
            self.storage.write(f"{self.path(view, data_version)}/{ROWS}", data)
        self.rows(view, data_version)

    def record(self, view: str, data_version: str, expected_sha256: str | None = None) -> TrainingSetRecord:
        """Where the rows come from.

        Raises:
            NotFoundError: not stored.
            IntegrityError: not the record whose digest is given, or not one of this training set.
        """
        path = f"{self.path(view, data_version)}/{RECORD}"
        where = self.storage.locate(path)
        data = self.storage.read(path)
        if expected_sha256 is not None and sha256(data) != expected_sha256:
            raise IntegrityError(f"{where} is not the record that the model was made with")
        try:
            record = TrainingSetRecord.model_validate_json(data)
        except ValidationError as error:
            raise IntegrityError(f"{where} is no valid record: {error.errors()[0]['msg']}") from None
        if record.data_version != data_version:
            raise IntegrityError(f"{where} names data version {record.data_version}")
        return record

    def record_sha256(self, view: str, data_version: str) -> str:
        """Digest of the record, to be kept by the models made of it."""
        return sha256(self.storage.read(f"{self.path(view, data_version)}/{RECORD}"))

    def rows(self, view: str, data_version: str) -> pd.DataFrame:
        """The rows, when file and content have their recorded digests; read once a process unless the file changes.

        Raises:
            NotFoundError: not stored.
            IntegrityError: not the file that was written, or not the rows that gave the digest.
        """
        path = f"{self.path(view, data_version)}/{ROWS}"
        where = self.storage.locate(path)
        known = _read.get((self.storage.url, path))
        if known and known[0] == digest_of(self.storage, path):
            digest, rows = known
        else:
            data, digest = read_hashed(self.storage, path)
            rows = None
        if digest != self.record(view, data_version).rows_sha256:
            raise IntegrityError(
                f"{where} differs from its recorded digest: remove {self.locate(view, data_version)} and run again"
            )
        if rows is None:
            rows = from_parquet(data)
            if content_digest(rows) != data_version:
                raise IntegrityError(f"{where} holds rows with digest {content_digest(rows)}")
            _read.put((self.storage.url, path), (digest, rows))
        # Lazy: pandas copies a column when somebody writes to it, and nobody else sees that.
        return rows.copy(deep=False)


def to_parquet(rows: pd.DataFrame) -> bytes:
    """Parquet file content."""
    buffer = io.BytesIO()
    rows.to_parquet(buffer, index=False, compression="zstd")
    return buffer.getvalue()


def from_parquet(data: bytes) -> pd.DataFrame:
    """A frame from Parquet file content."""
    return pd.read_parquet(io.BytesIO(data))
