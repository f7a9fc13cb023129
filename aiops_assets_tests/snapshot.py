"""Texts that people read, kept in files: one comparison holds every wording of a kind."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parent / "snapshots"
UPDATE = "UPDATE_SNAPSHOTS"
VARYING = {
    r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)? UTC": "TIME UTC",
    r"\.damaged-\w+\.\w+": ".damaged-TIME",
    r"\b[0-9a-f]{12,64}\b": "DIGEST",
    r"\b[\d.]+ s( ->|\n)": r"SECONDS s\1",
    r"\b\d+ under alert, \d+ pages?": "SOME under alert, SOME pages",
}
"""What differs from run to run -> what stands for it."""


def assert_snapshot(name: str, text: str) -> None:
    """Compare a text with the file of that name, or write the file where ``UPDATE_SNAPSHOTS`` is set."""
    path = FOLDER / f"{name}.txt"
    if os.environ.get(UPDATE):
        path.write_text(text)
    kept = path.read_text() if path.exists() else ""
    assert text == kept, f"{path.name} is another text by now: if that is meant, run this test with {UPDATE}=1"


def steady(text: str, places: Mapping[str, object]) -> str:
    """A text in which folders, times, digests and durations are replaced by words that are always the same."""
    for place, value in places.items():
        text = text.replace(str(value), place)
    for varying, word in VARYING.items():
        text = re.sub(varying, word, text)
    return text
