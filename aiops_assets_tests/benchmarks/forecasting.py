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
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd

HORIZONS = ("1h", "6h", "24h")
DAY, HOURS = 288, 24
ENGINE_ORIGINS = 30


def judge(data: Path, *arguments: object) -> str:
    """What the folder's judge prints."""
    command = [sys.executable, str(data / "forecast_score.py"), str(data / "series"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def forecast_series(model: str, path: Path, metric: str, counts: list[int], out: Path) -> tuple[float, float]:
    """Forecast one series from all its origins.

    Returns:
        seconds of a fit and a forecast; and the mean absolute error over a day as a ratio to that of the median of the
        last day, as a geometric mean over origins, each with a hundredth of the judge's scale added.
    """
    os.environ["OMP_NUM_THREADS"] = "1"  # read when the boosting is first imported: one core a series
    from aiops_assets.families.backtests import FORECASTERS
    from aiops_assets.judging.forecasting.backtest import as_frame
    from aiops_assets.timeseries.history import history_of

    history = history_of(pd.read_parquet(path, columns=["timestamp", metric]))
    made, ratios, begin = [], [], time.perf_counter()
    for rows in counts:
        known = history.until(rows)
        forecaster = FORECASTERS[model](42)
        forecaster.fit(known)
        forecast = forecaster.forecast(known, DAY)
        made.append(as_frame(known.times[-1], forecast))
        past, came = known.values[:, 0], history.values[rows : rows + DAY, 0]
        little = 0.01 * np.abs(past[DAY:] - past[:-DAY]).mean() + 1e-12
        ours, median = (np.abs(came - said).mean() for said in (forecast.value[:, 0], np.median(past[-DAY:])))
        ratios.append((ours + little) / (median + little))
    pd.concat(made).to_parquet(out / path.name)
    return (time.perf_counter() - begin) / len(counts), float(np.exp(np.log(ratios).mean()))


def measure(data: Path, model: str) -> tuple[str, str]:
    """A row of the table; and the series that loses most to the median of the last day."""
    tasks = [line.split() for line in judge(data, "--tasks").splitlines()]
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor() as pool:
        waiting = {
            name: pool.submit(
                forecast_series,
                model,
                data / "series" / f"{name}.parquet",
                metric,
                [int(task[3]) for task in origins],
                Path(folder),
            )
            for (name, metric), origins in groupby(tasks, key=lambda task: (task[0], task[1]))
        }
        seconds = max(one.result()[0] for one in waiting.values())
        ratio_to_median, series = max((one.result()[1], name) for name, one in waiting.items())
        said = json.loads(judge(data, folder))
    if said["missing"]:
        raise click.ClickException(f"not forecast: {', '.join(said['missing'][:5])}")
    ratio, coverage = (
        " / ".join(f"{said[kind][h]:.3f}"[1:] if said[kind][h] < 1 else f"{said[kind][h]:.2f}" for h in HORIZONS)
        for kind in ("ratio", "coverage")
    )
    row = f"| {model} | {ratio} | {coverage} | {seconds:.1f} |"
    return row, f"{model} {ratio_to_median:.2f} ({series})"


def engine_ratios(path: Path, metric: str) -> list[float]:
    """MAE of answers to the engine's 3264 columns to that of the last value, 1, 6 and 24 h ahead, of one series.

    The model never saw it: it is fitted on generated days, as `make run` does.
    """
    from aiops_assets.engine.served_rows import answer
    from aiops_assets.timeseries.engine_layouts import METRICS, engine_vectors

    series = pd.read_parquet(path, columns=["timestamp", metric]).set_index("timestamp")[metric].astype(float)
    hourly = series.resample("1h").first().interpolate()
    # The answer is a share: what is no share is scaled to one.
    values = (hourly / max(1.0, float(hourly.max()))).to_numpy()
    vectors = engine_vectors(pd.DataFrame(dict.fromkeys(METRICS, values), index=hourly.index))
    model = generated_model()
    errors = []
    for i in range(0, len(vectors) - HOURS, max(1, (len(vectors) - HOURS) // ENGINE_ORIGINS)):
        at = len(values) - len(vectors) + i
        said = answer(model, [vectors[i].tolist()], HOURS, model.hourly_baseline)
        came = values[at + 1 : at + 1 + HOURS]
        assert isinstance(said, dict)
        wrong = np.abs(np.array(said["cpu_usage"]["forecast"]) - came)
        last = np.abs(values[at] - came)
        errors.append([[of[:ahead].mean() for of in (wrong, last)] for ahead in (1, 6, 24)])
    ours, last = np.array(errors).mean(axis=0).T
    return list(ours / last)


@cache
def generated_model() -> Any:
    """predictive-analytics of generated days."""
    from aiops_assets.families.predictive_analytics import PredictiveFamily
    from aiops_assets.synthetic.cluster import generate_cluster
    from aiops_assets.views.cluster_metrics import holdout_of, segment_rows

    segment = generate_cluster(14, pd.Timestamp("2026-11-01", tz="UTC"), 42)
    rows = segment_rows(segment, holdout_of(segment), "synthetic")
    train = rows[rows["split"] == "train"]
    return PredictiveFamily().fit(train, {"trees": "boosting", "lookback_window": 24}, 42)


def measure_engine(data: Path) -> str:
    """A line: how answers to the engine's columns compare with the last value."""
    tasks = [line.split() for line in judge(data, "--tasks").splitlines()]
    names = dict.fromkeys((task[0], task[1]) for task in tasks)
    found = np.array([engine_ratios(data / "series" / f"{name}.parquet", metric) for name, metric in names])
    mean = " / ".join(f"{ratio:.2f}" for ratio in np.exp(np.log(found).mean(axis=0)))
    better = " / ".join(str(int(count)) for count in (found < 1).sum(axis=0))
    return (
        f"3264 columns, hourly, model of generated days: MAE to the last value {mean} at 1 h / 6 h / 24 h (geometric "
        f"mean of {len(found)} series); better on {better} of them"
    )


@click.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True, file_okay=False))
def main(data: Path) -> None:
    """Print the table of all forecasters."""
    from aiops_assets.families.backtests import FORECASTERS

    click.echo(
        "| forecaster | MAE to seasonal naive at 1 h / 6 h / 24 h | share inside the 80 % interval | s a forecast |"
    )
    click.echo("|---|---|---|---|")
    worst = []
    for model in FORECASTERS:
        row, most = measure(data, model)
        worst.append(most)
        click.echo(row)
    click.echo(f"MAE to that of the median of the last day at 24 h, of the worst series: {', '.join(worst)}")
    click.echo(measure_engine(data))


if __name__ == "__main__":
    main()
