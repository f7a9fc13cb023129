"""Commands about the quality of models: `aiops backtest` and `aiops evaluate`."""

import os
from pathlib import Path

import click

from aiops_assets.commands.errors import one_line_errors
from aiops_assets.errors import DataError
from aiops_assets.settings import load_settings


@click.command()
@click.option("--model", "name", required=True, help="For example ensemble-predictor or predictive-analytics.")
@click.option("--series", required=True, type=click.Path(path_type=Path), help="Parquet file to read.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Parquet file to write.")
@click.option("--alert-budget", type=click.FloatRange(0, 0.5, min_open=True), help="Detectors: share under alert.")
@click.option("--explain", is_flag=True, help="Detectors: also which column contributes most to each row.")
@click.option("--horizon", type=click.IntRange(1), help="Forecasters: steps ahead; default FORECAST_HORIZON.")
@click.option("--origins", type=click.IntRange(1), help="Forecasters: from how many rows, a horizon apart; default 1.")
@one_line_errors
def backtest(
    name: str,
    series: Path,
    out: Path,
    alert_budget: float | None,
    explain: bool,
    horizon: int | None,
    origins: int | None,
) -> None:
    """Score each row of SERIES by a detector, or forecast it by a forecaster, from earlier rows only.

    SERIES has `timestamp`, optionally `split` (train or test), and 1 to 1,000 numeric columns, 10 s to 1 h apart.
    A detector is fitted on train rows; OUT gets `timestamp`, `score` (higher is more anomalous), `alert` (a notice) and
    `page` (somebody is called) of each row, in the order of SERIES. A forecaster is fitted on all rows up to an origin;
    OUT gets `origin`, `timestamp`, `metric`, `value`, and the 80 % interval `lower` to `upper`, in steps of five
    minutes (of the series, if longer).
    """
    from aiops_assets.commands.backtesting import backtest_file, forecast_file
    from aiops_assets.families.backtests import DETECTORS, FORECASTERS
    from aiops_assets.families.catalog import named

    name = named(name)
    known = (*DETECTORS, *FORECASTERS)
    if name not in known:
        raise DataError(
            f"no model {name!r} to back-test: choose from {', '.join(known)}", code="no_model", name=name, there=known
        )
    if name in FORECASTERS:
        if alert_budget is not None or explain:
            raise click.UsageError(f"--alert-budget and --explain belong to detectors, {name} is a forecaster")
        steps = horizon or load_settings(os.environ).forecast_horizon
        click.echo(forecast_file(name, series, out, horizon=steps, origins=origins or 1))
    else:
        if horizon is not None or origins is not None:
            raise click.UsageError(f"--horizon and --origins belong to forecasters: {', '.join(FORECASTERS)}")
        click.echo(backtest_file(name, series, out, alert_budget=alert_budget, explain=explain))


@click.command()
@click.argument("data", required=False, type=click.Path(path_type=Path), metavar="[DATA_DIR]")
@click.option("--model", "names", multiple=True, help="With DATA_DIR: which detectors; may be given several times.")
@click.option("--scores", type=click.Path(path_type=Path), help="With DATA_DIR: keep the scores, <FOLDER>/<model>/.")
@click.option("--pictures", type=click.Path(path_type=Path), help="With DATA_DIR; default <AIOPS_HOME>/evaluation.")
@one_line_errors
def evaluate(data: Path | None, names: tuple[str, ...], scores: Path | None, pictures: Path | None) -> None:
    """How good detectors are: the served one on 30 further generated days, or any on labelled series of DATA_DIR.

    DATA_DIR holds `series/<set>__<name>.parquet` and `labels/<set>__<name>.parquet` (`timestamp`, `split`, `label`).
    """
    from aiops_assets.commands import reports

    if data is None:
        if names or scores or pictures:
            raise click.UsageError("--model, --scores and --pictures belong to a DATA_DIR: name one")
        reports.on_generated_days(load_settings(os.environ))
    else:
        folder = pictures or load_settings(os.environ).aiops_home / "evaluation"
        reports.on_labelled_series(data, names, pictures=folder, scores=scores)
