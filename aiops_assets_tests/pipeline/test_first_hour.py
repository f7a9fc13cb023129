"""The first hour of a cluster, on a real Prometheus: from `aiops run`'s graph to scores, a forecast and answers."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from aiops_assets.datasets.notes import Note
from aiops_assets.families.fracast_predictor import FRACAST_PREDICTOR
from aiops_assets.pipeline.definitions import definitions_for
from aiops_assets.pipeline.resources import stores_of
from aiops_assets.synthetic.pods import generate
from aiops_assets.timeseries.catalog import FORECAST_METRICS
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.pipeline.graph import materialize
from aiops_assets_tests.prometheus_server import backfilled_prometheus
from aiops_assets_tests.service.conftest import service, wait_until

pytestmark = [pytest.mark.needs("prometheus"), pytest.mark.long]
DETECTOR, ENSEMBLE, FRACAST = "anomaly-detector", "ensemble-predictor", FRACAST_PREDICTOR.name
PODS, MINUTES = 4, 60


def test_an_hour_of_history_is_scored_forecast_and_answered_for(tmp_path: Path) -> None:
    now = pd.Timestamp(datetime.now(UTC)).floor("min")
    whole = generate(PODS, 1, now, seed=7)
    values = {name: array[..., -MINUTES:] for name, array in whole.values.items()}
    hour = replace(whole, times=whole.times[-MINUTES:], values=values)
    names = (DETECTOR, ENSEMBLE, FRACAST)
    with backfilled_prometheus(hour, tmp_path / "tsdb") as url:
        variables = {
            "DATA_SOURCE": "prometheus",
            "PROMETHEUS_URL": url,
            "TRAINING_DAYS": "3",
            "MODELS": ",".join(names),
        }
        variables |= {"SYNTHETIC_END": now.date().isoformat(), "TRAINING_PODS": "8"}
        settings = make_settings(tmp_path / "home", **variables)
        result = materialize(settings, models=list(names))
        assert result.success
        with dg.DagsterInstance.ephemeral() as instance:
            definitions_for(settings).resolve_job_def("score").execute_in_process(instance=instance)

        stores = stores_of(settings)
        champion = stores.served().champion(FRACAST)
        assert champion
        assert champion.champion.effective_source == "synthetic"
        run = stores.scores().newest()
        assert run
        assert run.record.source == "prometheus"
        generated = tuple(name for name in names if name not in run.record.left_out)
        assert run.record.notes[-1] == Note("models_of_generated_rows", models=generated).text
        assert [model.proven for model in run.record.models] == [()] * len(generated)
        assert set(run.scores["pod"]) == set(whole.pods)
        assert run.scores["timestamp"].min() > now - timedelta(minutes=MINUTES + 10)
        forecasts = run.forecasts[run.forecasts["model_name"] == FRACAST]
        assert set(forecasts["metric_name"]) == {metric.name for metric in FORECAST_METRICS}
        assert (forecasts["lower"] <= forecasts["value"]).all()
        assert (forecasts["predicted_for"] > now - timedelta(minutes=15)).all()
        assert forecasts["predicted_for"].max() > now + timedelta(hours=23)

        with service(settings.aiops_home, demo=False, **variables) as client:
            wait_until(client, f"/v1/models/{FRACAST}")
            pages = client.get("/metrics").text
            assert "aiops_forecast" in pages
            samples = [
                {"name": "memory_usage", "value": 0.4, "timestamp": (now - timedelta(minutes=back)).isoformat()}
                for back in range(0, MINUTES, 5)
            ]
            answer = client.post(
                "/api/v1/prediction/predict", json={"historical_metrics": samples, "predict_ahead": "1h"}
            )
            assert answer.json()["predictions"][0]["judged_by"] == FRACAST
            assert answer.json()["models"][0]["effective_source"] == "synthetic"
