"""Texts that people read, kept in files: one comparison holds every wording of a kind."""

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "snapshots"
UPDATE = "UPDATE_SNAPSHOTS"


def assert_snapshot(name: str, text: str) -> None:
    """Compare a text with the file of that name, or write the file where ``UPDATE_SNAPSHOTS`` is set."""
    path = FOLDER / f"{name}.txt"
    if os.environ.get(UPDATE):
        path.write_text(text)
    kept = path.read_text() if path.exists() else ""
    assert text == kept, f"{path.name} is another text by now: if that is meant, run this test with {UPDATE}=1"
