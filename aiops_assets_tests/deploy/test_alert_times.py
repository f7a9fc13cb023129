"""How long an alert's condition holds before it fires: promtool says, in made-up time."""

from pathlib import Path

import pandas as pd
import pytest
import yaml

from aiops_assets_tests.deploy.monitored import manifest, promtool, rules

SERVICE = 'aiops_service_info{job="s", instance="i", cluster="c", environment="production"}'
CONDITIONS: dict[str, tuple[str, dict[str, str]]] = {
    "AiopsAnomaly": ("10m", {'aiops_anomaly_alert{cluster="c", model="m", pod="p"}': "1x90"}),
    "AiopsPredictedBreach": (
        "20m",
        {'aiops_forecast_value{cluster="c", model="m", metric="d", unit="ratio", horizon="24h"}': "0.91x90"},
    ),
    "AiopsModelStale": (
        "1h",
        {'aiops_model_trained_timestamp_seconds{job="s", instance="i", model="m"}': "-1209601x90"},
    ),
    "AiopsCoverageLow": ("15m", {'aiops_model_coverage_ratio{job="s", instance="i", model="m"}': "0.89x90"}),
    "AiopsFallbackInProduction": (
        "30m",
        {'aiops_model_info{job="s", instance="i", model="m", source="cached+synthetic"}': "1x90"},
    ),
    "AiopsScoresStale": ("30m", {'aiops_scores_stale{cluster="c", kind="anomaly"}': "1x90"}),
    "AiopsModelNotReady": ("10m", {'aiops_model_ready{job="s", instance="i", model="m"}': "0x90"}),
}
"""Alert -> how long its condition has to hold, and series that meet it from the first minute on."""


@pytest.mark.needs("prometheus")
@pytest.mark.parametrize("name", CONDITIONS)
def test_an_alert_fires_when_its_condition_held_long_enough(name: str, tmp_path: Path) -> None:
    wait, series = CONDITIONS[name]
    minutes = int(pd.Timedelta(wait).total_seconds()) // 60
    (rule,) = (rule for rule in rules() if rule["alert"] == name)
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "aiops", "rules": [rule]}]}))
    inputs = {SERVICE: "1x90", 'aiops_scores_made_timestamp_seconds{cluster="c"}': "0x90", **series}
    firing = f'count(ALERTS{{alertname="{name}", alertstate="firing"}})'
    asked = [
        {"expr": firing, "eval_time": f"{minutes - 1}m", "exp_samples": []},
        {"expr": firing, "eval_time": f"{minutes}m", "exp_samples": [{"labels": "{}", "value": 1}]},
    ]
    test = {
        "interval": "1m",
        "input_series": [{"series": one, "values": values} for one, values in inputs.items()],
        "promql_expr_test": asked,
    }
    file = tmp_path / "unit.yml"
    file.write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [test]}))
    promtool("test", "rules", str(file))


@pytest.mark.needs("prometheus")
def test_promtool_takes_the_rules(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(manifest("prometheus-rule")["spec"]))
    assert f"SUCCESS: {len(CONDITIONS)} rules found" in promtool(
        "check", "rules", "--lint-fatal", str(tmp_path / "rules.yml")
    )
