from datetime import timedelta

import pytest

from aiops_assets.durations import parse_duration
from aiops_assets.errors import DataError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("5m", 300), ("24h", 86_400), ("1h30m", 5400), ("1.5h", 5400), ("7d", 604_800), (" 500ms ", 0.5)],
)
def test_durations_are_read_as_go_writes_them(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "h", "-5m", "0s", "5 m", "5m!", "1y", "soon", "9" * 400 + "h", "99999999h"])
def test_anything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(DataError, match="30s, 5m, 1h30m, 24h or 7d"):
        parse_duration(text)
