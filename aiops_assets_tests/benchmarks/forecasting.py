"""How good the forecasters are: `make forecasts DATA=folder`, where the folder's own `forecast_score.py` is the judge.

It names series, metrics and origins; each forecaster is fitted on what lies before an origin, and asked for a day.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import groupby
from pathlib import Path

import click
import pandas as pd

HORIZONS = ("1h", "6h", "24h")
DAY = 288


def judge(data: Path, *arguments: object) -> str:
    """What the folder's judge prints."""
    command = [sys.executable, str(data / "forecast_score.py"), str(data / "series"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def forecast_series(model: str, path: Path, metric: str, counts: list[int], out: Path) -> float:
    """Forecast one series from all its origins; seconds of a fit and a forecast."""
    os.environ["OMP_NUM_THREADS"] = "1"  # read when the boosting is first imported: one core a series
    from aiops_assets.models.forecast_backtest import as_frame
    from aiops_assets.models.forecasters import FORECASTERS
    from aiops_assets.timeseries.history import history_of

    history = history_of(pd.read_parquet(path, columns=["timestamp", metric]))
    made, begin = [], time.perf_counter()
    for rows in counts:
        known = history.until(rows)
        forecaster = FORECASTERS[model](42)
        forecaster.fit(known)
        made.append(as_frame(known.times[-1], forecaster.forecast(known, DAY)))
    pd.concat(made).to_parquet(out / path.name)
    return (time.perf_counter() - begin) / len(counts)


def measure(data: Path, model: str) -> str:
    """A row of the table."""
    tasks = [line.split() for line in judge(data, "--tasks").splitlines()]
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor() as pool:
        waiting = [
            pool.submit(
                forecast_series,
                model,
                data / "series" / f"{name}.parquet",
                metric,
                [int(task[3]) for task in origins],
                Path(folder),
            )
            for (name, metric), origins in groupby(tasks, key=lambda task: (task[0], task[1]))
        ]
        seconds = max(one.result() for one in waiting)
        said = json.loads(judge(data, folder))
    if said["missing"]:
        raise click.ClickException(f"not forecast: {', '.join(said['missing'][:5])}")
    ratio, coverage = (
        " / ".join(f"{said[kind][h]:.3f}"[1:] if said[kind][h] < 1 else f"{said[kind][h]:.2f}" for h in HORIZONS)
        for kind in ("ratio", "coverage")
    )
    return f"| {model} | {ratio} | {coverage} | {seconds:.1f} |"


@click.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True, file_okay=False))
def main(data: Path) -> None:
    """Print the table of all forecasters."""
    from aiops_assets.models.forecasters import FORECASTERS

    click.echo(
        "| forecaster | MAE to seasonal naive at 1 h / 6 h / 24 h | share inside the 80 % interval | s a forecast |"
    )
    click.echo("|---|---|---|---|")
    for model in FORECASTERS:
        click.echo(measure(data, model))


if __name__ == "__main__":
    main()
