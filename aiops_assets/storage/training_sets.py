"""Training sets, stored under the digest of their rows: immutable, and found by their data version."""

import io
from contextlib import suppress

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from aiops_assets.errors import ConflictError, IntegrityError, NotFoundError
from aiops_assets.storage.digests import digest_of, read_hashed
from aiops_assets.storage.records import Record, TrainingSetRecord, sha256
from aiops_assets.storage.remembered import Remembered
from aiops_assets.storage.storage import Storage
from aiops_assets.timeseries.schema import content_digest

ROWS, RECORD = "rows.parquet", "record.json"
MAX_SETS = 6
"""Number of sets kept in memory: per view the newest and the champion's, some 10 MB each."""
_read: Remembered[tuple[str, str], tuple[str, pd.DataFrame]] = Remembered(MAX_SETS)
"""(URL of the storage, path) -> (digest of the file, rows)."""


class Build(Record):
    """The newest build of a training set.

    Attributes:
        inputs: digest of all that it was built of.
        record_sha256: of ``record`` as bytes.
        record: of this build. The record beside equal rows may be that of an earlier build, of other inputs.
        rows_signature: signature of the file of rows when it had its recorded digest; empty: unknown.
    """

    inputs: str
    record_sha256: str
    record: TrainingSetRecord
    rows_signature: str = ""


class TrainingSets:
    """Training sets of one cluster."""

    def __init__(self, storage: Storage, cluster: str) -> None:
        self.storage = storage
        self.cluster = cluster

    def path(self, view: str, data_version: str) -> str:
        """Directory of a training set, relative to the storage."""
        return f"training_sets/cluster={self.cluster}/view={view}/{data_version}"

    def _build_path(self, name: str) -> str:
        return f"training_sets/cluster={self.cluster}/builds/{name}.json"

    def locate(self, view: str, data_version: str) -> str:
        """Path or URL of a training set's directory, for people."""
        return self.storage.locate(self.path(view, data_version))

    def put(self, rows: pd.DataFrame, record: TrainingSetRecord) -> str:
        """Store rows under their digest; where equal rows are stored already, their record stays.

        Args:
            rows: the training set.
            record: where the rows come from; its ``rows_sha256`` is set here.

        Returns:
            signature of the file of rows as it was written, for :meth:`note_build`; empty: unknown.
        """
        data = to_parquet(rows)
        record = record.model_copy(update={"rows_sha256": sha256(data)})
        try:
            files = {ROWS: data, RECORD: record.to_bytes()}
            return self.storage.commit_directory(self.path(record.view, record.data_version), files, last=RECORD).get(
                ROWS, ""
            )
        except ConflictError:
            self._restore(data, record)
            return ""

    def _restore(self, data: bytes, record: TrainingSetRecord) -> None:
        """Write again what is missing or damaged of a stored set; its rows are at hand."""
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

    def note_build(self, name: str, inputs: str, record: TrainingSetRecord, rows_signature: str = "") -> None:
        """Remember what a stored training set was built of; it replaces the build before of the same name."""
        self._note(name, Build(inputs=inputs, record_sha256=sha256(record.to_bytes()), record=record), rows_signature)

    def _note(self, name: str, build: Build, signature: str) -> None:
        build = build.model_copy(update={"rows_signature": signature})
        self.storage.write(self._build_path(name), build.to_bytes())

    def built_of(self, name: str, view: str, inputs: str) -> TrainingSetRecord | None:
        """The record of the newest build, if it was of these inputs and its rows are stored as they were.

        Rows whose file has the signature of the time when it was checked have not been written since, and are not read;
        :meth:`rows` checks them for whoever does. ``None`` also where anything of the build is missing or damaged: its
        note, the record beside the rows, the rows, their file.
        """
        try:
            build = Build.model_validate_json(self.storage.read(self._build_path(name)))
            record = build.record
            if (build.inputs, record.view) != (inputs, view) or sha256(record.to_bytes()) != build.record_sha256:
                return None
            self.record(view, record.data_version)
            signature = self.storage.signature(f"{self.path(view, record.data_version)}/{ROWS}")
            if not signature or signature != build.rows_signature:
                self.rows(view, record.data_version)
                self._note(name, build, signature)
            return record
        except (NotFoundError, IntegrityError, ValidationError):
            return None

    def _forget_builds(self, data_version: str) -> None:
        for file in self.storage.names(self._build_path("").rpartition("/")[0]):
            path = self._build_path(file.removesuffix(".json"))
            with suppress(NotFoundError):
                if data_version.encode() in self.storage.read(path):
                    self.storage.remove(path)

    def record(self, view: str, data_version: str, expected_sha256: str | None = None) -> TrainingSetRecord:
        """Where the rows come from.

        Raises:
            NotFoundError: the training set is not stored.
            IntegrityError: the record is not valid, has another digest than ``expected_sha256``, or belongs to another
                training set.
        """
        path = f"{self.path(view, data_version)}/{RECORD}"
        where = self.storage.locate(path)
        data = self.storage.read(path)
        if expected_sha256 is not None and sha256(data) != expected_sha256:
            raise IntegrityError(f"{where} is not the record that the model was made with")
        try:
            record = TrainingSetRecord.model_validate_json(data)
        except ValidationError as error:
            raise IntegrityError(f"{where} is not a valid record: {error.errors()[0]['msg']}") from None
        if record.data_version != data_version:
            raise IntegrityError(f"{where} names data version {record.data_version}")
        return record

    def record_sha256(self, view: str, data_version: str) -> str:
        """SHA-256 of the record, which the manifests of models fitted on the set keep."""
        return sha256(self.storage.read(f"{self.path(view, data_version)}/{RECORD}"))

    def rows(self, view: str, data_version: str) -> pd.DataFrame:
        """The rows, if file and content have their recorded digests; read once per process unless the file changes.

        A file that does not is no longer taken for that of a build: the next one is built anew.

        Raises:
            NotFoundError: the training set is not stored.
            IntegrityError: the file or its rows do not have the recorded digest.
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
            self._forget_builds(data_version)
            raise IntegrityError(
                f"{where} differs from its recorded digest: remove {self.locate(view, data_version)} and run again"
            )
        if rows is None:
            rows = from_parquet(data)
            if content_digest(rows) != data_version:
                raise IntegrityError(f"{where} holds rows with digest {content_digest(rows)}")
            _read.put((self.storage.url, path), (digest, rows))
        # Copy-on-write: pandas copies a column only when a caller writes to it.
        return rows.copy(deep=False)


def to_parquet(rows: pd.DataFrame) -> bytes:
    """The content of a Parquet file with these rows."""
    buffer = io.BytesIO()
    rows.to_parquet(buffer, index=False, compression="zstd")
    return buffer.getvalue()


def from_parquet(data: bytes) -> pd.DataFrame:
    """The rows of a Parquet file."""
    # pandas' own reader loads pyarrow's datasets first, which take as long as the rows.
    return pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False).to_pandas(use_threads=False)
