"""Forecasts from the first hours of real series: `python -m aiops_assets_tests.benchmarks.first_hours DATA`.

DATA is a folder with series/ and forecast_score.py, which names series, metrics and origins; each fourth origin is
taken, and of what lies before it the newest hours alone. The models know nothing else of the series.
"""

from pathlib import Path

import click
import numpy as np
import pandas as pd

from aiops_assets.families.forecasters import METRICS
from aiops_assets.learners.contracts import Forecaster
from aiops_assets.learners.forecasters.pretrained import PretrainedForecaster
from aiops_assets.learners.forecasters.trivial import TRIVIAL
from aiops_assets.timeseries.history import History, history_of
from aiops_assets.timeseries.series import Floats
from aiops_assets_tests.benchmarks.forecasting import DAY, generated_model, judge

ROWS = {"1 h": 12, "2 h": 24, "6 h": 72}
AHEAD = (12, 72, 288)
EVERY = 4
SMALL_SHARE = 0.01


def of(values: Floats, metrics: tuple[str, ...]) -> History:
    """A history whose metrics are all this series; of which time it is, the models are not told."""
    times = pd.date_range("2026-01-05", periods=len(values), freq="5min", tz="UTC")
    return history_of(pd.DataFrame({"timestamp": times, **dict.fromkeys(metrics, values)}))


def errors(forecaster: Forecaster, known: History, came: Floats, scale: float) -> Floats:
    """(2, 3): mean absolute error and share inside the interval, 1, 6 and 24 hours ahead."""
    found = forecaster.forecast(known, DAY)
    wrong = np.abs(came - found.value[:, 0])
    inside = (came >= found.lower[:, 0]) & (came <= found.upper[:, 0])
    return np.array([[wrong[:h].mean() + SMALL_SHARE * scale for h in AHEAD], [inside[:h].mean() for h in AHEAD]])


@click.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True, file_okay=False))
def main(data: Path) -> None:
    """Print a table: errors as a ratio to the last value's, and how often the intervals hold what came."""
    tasks = [line.split() for line in judge(data, "--tasks").splitlines()][::EVERY]
    click.echo("| history | forecaster | MAE to the last value's at 1 h / 6 h / 24 h | inside the 80 % interval |")
    click.echo("|---|---|---|---|")
    for label, rows in ROWS.items():
        found: dict[str, list[Floats]] = {"fracast-predictor": [], "predictive-analytics of generated days": []}
        last: list[Floats] = []
        for name, column, _, count in tasks:
            whole = history_of(pd.read_parquet(data / "series" / f"{name}.parquet", columns=["timestamp", column]))
            values, at = whole.values[:, 0], int(count)
            came, scale = values[at : at + DAY], float(np.abs(values[DAY:at] - values[: at - DAY]).mean())
            one, five = (of(values[at - rows : at], metrics) for metrics in (("value",), METRICS))
            for model, known, into in (
                (PretrainedForecaster(), one, found["fracast-predictor"]),
                (TRIVIAL["last-value"](42), one, last),
            ):
                model.fit(known)
                into.append(errors(model, known, came, scale))
            found["predictive-analytics of generated days"].append(errors(generated_model(), five, came, scale))
        for model_name, of_model in found.items():
            ratios = np.exp(np.log(np.array(of_model)[:, 0] / np.array(last)[:, 0]).mean(axis=0))
            texts = [
                " / ".join(f"{one:.2f}" for one in figures)
                for figures in (ratios, np.array(of_model)[:, 1].mean(axis=0))
            ]
            click.echo(f"| {label} | {model_name} | {texts[0]} | {texts[1]} |")


if __name__ == "__main__":
    main()
