"""`aiops synthesize`: files that other programs read, the same for a seed, and refusals that change nothing."""

from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner

from aiops_assets.commands.cli import main
from aiops_assets.hosts.generated import generate_full_training_set


def synthesize(*arguments: str) -> int:
    return CliRunner().invoke(main, ["synthesize", *arguments]).exit_code


def test_both_kinds_of_files_hold_the_rows(tmp_path: Path) -> None:
    expected = generate_full_training_set(1, 7).reset_index()
    for name in ("rows.csv", "rows.parquet"):
        assert synthesize("--days", "1", "--seed", "7", "--output", str(tmp_path / name)) == 0
    csv = pd.read_csv(tmp_path / "rows.csv", parse_dates=["timestamp"])
    parquet = pd.read_parquet(tmp_path / "rows.parquet")
    for found in (csv, parquet):
        pd.testing.assert_frame_equal(
            found.astype({"label": str}), expected.astype({"label": str}), check_dtype=False, check_index_type=False
        )


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_a_seed_is_the_same_bytes(name: str, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        assert synthesize("--days", "1", "--output", str(tmp_path / folder / name)) == 0
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("arguments", [("--days", "0"), ("--days", "1", "--seed", "-1"), ("--output", "rows.xls")])
def test_what_cannot_be_made_writes_nothing(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert synthesize("--output", "rows.csv", *arguments) == 2
    assert list(tmp_path.iterdir()) == []


def test_where_no_file_can_be_nothing_changes(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    assert synthesize("--days", "1", "--output", str(file / "rows.csv")) != 0
    assert file.read_text() == "x"
