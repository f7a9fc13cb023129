"""The folder of score files: one a method and series, which says by which code it was made and how long it took."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

KEY = b"peers"


@dataclass(frozen=True)
class Kept:
    """Scores of a file: ``timestamp``, ``score`` and, where the method has a rule of its own, ``alert``."""

    frame: pd.DataFrame
    seconds: float


def digest(paths: Sequence[Path]) -> str:
    """Of the files that decide a method's scores."""
    content = hashlib.blake2b(digest_size=8)
    for path in paths:
        content.update(path.read_bytes())
    return content.hexdigest()


def is_current(path: Path, source: Path, made_by: str) -> bool:
    """Whether scores are kept, made by this code from a series that did not change since."""
    if not path.exists() or path.stat().st_mtime < source.stat().st_mtime:
        return False
    return _note(pq.read_schema(path)).made_by == made_by


def write(path: Path, frame: pd.DataFrame, took: float, made_by: str) -> None:
    """Write whole or not at all; ``took`` is seconds."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    note = json.dumps({"seconds": took, "made_by": made_by}).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), KEY: note}), unfinished)
    unfinished.replace(path)


def read(path: Path) -> Kept:
    """What was written."""
    table = pq.read_table(path)
    return Kept(table.to_pandas(), _note(table.schema).seconds)


def seconds(path: Path) -> float:
    """How long making the scores took, without reading them."""
    return _note(pq.read_schema(path)).seconds


def _note(schema: pa.Schema) -> "_Note":
    found = json.loads((schema.metadata or {}).get(KEY, b"{}"))
    return _Note(float(found.get("seconds", "nan")), str(found.get("made_by", "")))


@dataclass(frozen=True)
class _Note:
    seconds: float
    made_by: str
