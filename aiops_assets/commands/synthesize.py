"""`aiops synthesize`: labelled rows of a generated host, as a file."""

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aiops_assets.commands.errors import one_line_errors
from aiops_assets.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


@click.command()
@click.option("--days", type=click.IntRange(1, 3660), default=30, show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=42, show_default=True)
@click.option("--end", type=click.DateTime(), help="Rows end a minute before it, UTC.  [default: 2026-01-01]")
@click.option("--output", required=True, type=click.Path(path_type=Path), help="FILE.csv or FILE.parquet to write.")
@one_line_errors
def synthesize(days: int, seed: int, end: datetime | None, output: Path) -> None:
    """Write labelled rows of a generated host, one a minute: normal days, CPU spikes, memory leaks, error storms.

    The same days, seed and end give the same rows on any machine. The file gets `timestamp`, 14 metrics and `label`.
    """
    from aiops_assets.commands.files import write_whole
    from aiops_assets.hosts.generated import END, generate_full_training_set

    if output.suffix not in WRITERS:
        raise DataError(
            f"{output}: a file's suffix says how it is written, {' or '.join(WRITERS)}",
            code="unknown_suffix",
            path=str(output),
            there=tuple(WRITERS),
        )
    rows = generate_full_training_set(days, seed, end.replace(tzinfo=UTC) if end else END)
    write_whole(output, WRITERS[output.suffix](rows))
    shares = rows["label"].value_counts(normalize=True, sort=False)
    kinds = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
    click.echo(f"{output}: {len(rows):,} rows of {rows.index[0]:%Y-%m-%d} to {rows.index[-1]:%Y-%m-%d}: {kinds}")


def _csv(rows: "pd.DataFrame") -> bytes:
    return rows.to_csv(date_format="%Y-%m-%dT%H:%M:%SZ").encode()


def _parquet(rows: "pd.DataFrame") -> bytes:
    buffer = io.BytesIO()
    rows.reset_index().to_parquet(buffer, index=False)
    return buffer.getvalue()


WRITERS = {".csv": _csv, ".parquet": _parquet}
