"""Shadow scores of challenger and champion on the newest rows: a Parquet file per window and pair of versions.

``shadow/cluster=<cluster>/<name>/<window end>__v<challenger>__v<champion>.parquet``; the champion is 0 where nothing
was served. The record is in the metadata of the file, so that a file that is copied elsewhere still describes itself.
"""

import re
from datetime import datetime

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from aiops_assets.errors import IntegrityError, NotFoundError
from aiops_assets.storage.records import Record
from aiops_assets.storage.storage import Storage

METADATA_KEY = b"aiops"
MAX_FILES = 50
"""Number of files kept per model: a year of weekly windows."""
FILE_NAME = re.compile(r"(\d{4}-\d\d-\d\d)__v(\d+)__v(\d+)\.parquet")


class ShadowRecord(Record):
    """What the scores of a file were made of.

    Attributes:
        name: model name.
        challenger, champion: version numbers; the champion is 0 where nothing was served.
        challenger_sha256, champion_sha256: SHA-256 of their manifests.
        note: why the champion's scores are missing; empty when they are not.
        data_version, effective_source: data version and source of the training set whose hold-out was scored.
        window_start, window_end: window of that training set, half-open.
        code_version: version of the code that scored.
        metrics: the metrics with contributions.
    """

    name: str
    challenger: int
    challenger_sha256: str
    champion: int = 0
    champion_sha256: str = ""
    note: str = ""
    data_version: str
    effective_source: str
    window_start: datetime
    window_end: datetime
    code_version: str
    metrics: tuple[str, ...]

    @property
    def file_name(self) -> str:
        """Name of the file with the scores."""
        return f"{self.window_end:%Y-%m-%d}__v{self.challenger}__v{self.champion}.parquet"

    @property
    def is_pair(self) -> bool:
        """Whether the file compares two different versions."""
        return self.champion_sha256 not in ("", self.challenger_sha256)


class ShadowScores:
    """Shadow scores of one cluster."""

    def __init__(self, storage: Storage, cluster: str) -> None:
        self.storage = storage
        self.cluster = cluster

    def put(self, record: ShadowRecord, scores: pd.DataFrame) -> list[str]:
        """Store the scores of a window; they replace scores of the same versions, and the oldest files above 50 go.

        Args:
            record: what the scores were made of.
            scores: one row per hold-out row.

        Returns:
            names of the removed files.
        """
        folder = self.folder(record.name)
        self.storage.write(f"{folder}/{record.file_name}", _encoded(record, scores))
        self.storage.sweep(folder)
        old = [name for name in self.files(record.name) if name != record.file_name][: -(MAX_FILES - 1)]
        for name in old:
            self.storage.remove(f"{folder}/{name}")
        return old

    def files(self, name: str) -> list[str]:
        """Names of a model's files, oldest window first, then by versions."""
        found = [match for entry in self.storage.names(self.folder(name)) if (match := FILE_NAME.fullmatch(entry))]
        return [match[0] for match in sorted(found, key=lambda match: (match[1], int(match[2]), int(match[3])))]

    def read(self, name: str, file_name: str) -> tuple[ShadowRecord, pd.DataFrame]:
        """The record and the scores of a file.

        Raises:
            NotFoundError: there is no such file.
            IntegrityError: the file cannot be read, or its record does not fit its name.
        """
        path = f"{self.folder(name)}/{file_name}"
        data = self.storage.read(path)
        where = self.storage.locate(path)
        try:
            table = pq.read_table(pa.BufferReader(data), page_checksum_verification=True)
            record = ShadowRecord.model_validate_json((table.schema.metadata or {})[METADATA_KEY])
            scores = table.to_pandas()
        except (pa.ArrowException, OSError, KeyError, ValidationError) as error:
            problem = type(error).__name__
            raise IntegrityError(f"{where} cannot be read ({problem}): remove it", code="unreadable_window") from None
        if (record.name, record.file_name) != (name, file_name):
            raise IntegrityError(f"{where} holds {record.name}/{record.file_name}: remove it")
        return record, scores

    def kept(self, record: ShadowRecord) -> pd.DataFrame | None:
        """Stored scores with exactly this record; ``None`` when there are none."""
        try:
            found, scores = self.read(record.name, record.file_name)
        except (NotFoundError, IntegrityError):
            return None
        return scores if found == record else None

    def folder(self, name: str) -> str:
        """Folder of a model's files, relative to the storage."""
        return f"shadow/cluster={self.cluster}/{name}"

    def locate(self, name: str, file_name: str = "") -> str:
        """Path or URL of a model's folder or of one file, for people."""
        return self.storage.locate(f"{self.folder(name)}/{file_name}".rstrip("/"))


def _encoded(record: ShadowRecord, scores: pd.DataFrame) -> bytes:
    table = pa.Table.from_pandas(scores, preserve_index=False)
    metadata = {**(table.schema.metadata or {}), METADATA_KEY: record.model_dump_json().encode()}
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(metadata), sink, compression="zstd", write_page_checksum=True)
    data: bytes = sink.getvalue().to_pybytes()
    return data
