"""How long an alert's condition holds before it fires: promtool says, in made-up time."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pytest
import yaml

from aiops_assets_tests.deploy.monitored import manifest, promtool, recorded, rules

SERVICE = 'aiops_service_info{job="s", instance="i", cluster="c", environment="production"}'
MADE = 'aiops_scores_made_timestamp_seconds{cluster="c"}'
CONDITIONS: dict[str, tuple[str, dict[str, str]]] = {
    "AiopsAnomaly": ("0m", {'aiops_anomaly_page{cluster="c", kind="pod", pod="p"}': "1x90"}),
    "AiopsNodeAnomaly": ("0m", {'aiops_anomaly_page{cluster="c", kind="node", node="n", metric="d"}': "1x90"}),
    "AiopsAnomalyNotice": ("10m", {'aiops_anomaly_alert{cluster="c", model="m", pod="p"}': "1x90"}),
    "AiopsPredictedBreach": (
        "20m",
        {
            'aiops_forecast_value{cluster="c", model="m", metric="d", unit="ratio", horizon="24h"}': "0.91x90",
            'aiops_forecast_proven{cluster="c", model="m", horizon="24h"}': "1x90",
        },
    ),
    "AiopsExhaustion": ("1h", {'aiops_exhaustion_seconds{cluster="c", kind="disk", node="n"}': "259199x90"}),
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
    "AiopsUnwatched": ("1h", {'aiops_scores_unwatched{cluster="c", reason="above_cap"}': "3x90"}),
    "AiopsDrift": ("2h", {'aiops_drift{cluster="c", metric="d"}': "1x150"}),
    "AiopsMetricAnomaly": ("0m", {'aiops_metric_alert{cluster="c", metric="m", entity="e", severity="info"}': "1x90"}),
    "AiopsSilence": ("0m", {'aiops_silence{cluster="c", reason="node_gone", entity="n", severity="critical"}': "1x90"}),
    "AiopsModelNotReady": ("10m", {'aiops_model_ready{job="s", instance="i", model="m"}': "0x90"}),
}
"""Alert -> how long its condition has to hold, and series that meet it from the first minute on."""


@pytest.mark.needs("prometheus")
@pytest.mark.parametrize("name", CONDITIONS)
def test_an_alert_fires_when_its_condition_held_long_enough(name: str, tmp_path: Path) -> None:
    wait, series = CONDITIONS[name]
    minutes = int(pd.Timedelta(wait).total_seconds()) // 60
    firing = f'count(ALERTS{{alertname="{name}", alertstate="firing"}})'
    asked: list[dict[str, object]] = [
        {"expr": firing, "eval_time": f"{minutes}m", "exp_samples": [{"labels": "{}", "value": 1}]}
    ]
    if minutes:
        asked.append({"expr": firing, "eval_time": f"{minutes - 1}m", "exp_samples": []})
    evaluate(name, {MADE: "0x90", **series}, asked, tmp_path)


@pytest.mark.needs("prometheus")
@pytest.mark.parametrize(
    ("values", "proven", "fires"),
    [
        ({"good": 0.95, "also-good": 0.6}, {"good": 1, "also-good": 1}, True),
        ({"good": 0.6, "untried": 0.95}, {"good": 1, "untried": 0}, False),
        ({"good": 0.6, "unknown": 0.95}, {"good": 1}, False),
        ({"good": 0.89}, {"good": 1}, False),
    ],
)
def test_one_proven_forecaster_predicts_a_breach_and_no_other(
    values: dict[str, float], proven: dict[str, int], fires: bool, tmp_path: Path
) -> None:
    at = 'cluster="c", model="{}", horizon="24h"'
    series = {
        f'aiops_forecast_value{{{at.format(model)}, metric="disk_usage", unit="ratio"}}': f"{value}x90"
        for model, value in values.items()
    }
    series |= {f"aiops_forecast_proven{{{at.format(model)}}}": f"{one}x90" for model, one in proven.items()}
    # It was proven an hour ahead only: what it says a day ahead counts for nothing.
    elsewhere = 'aiops_forecast_proven{cluster="c", model="unknown", horizon="1h"}'
    found = 'count by (metric, horizon) (ALERTS{alertname="AiopsPredictedBreach", alertstate="firing"})'
    expected = [{"labels": '{metric="disk_usage", horizon="24h"}', "value": 1}] if fires else []
    asked = [{"expr": found, "eval_time": "20m", "exp_samples": expected}]
    evaluate("AiopsPredictedBreach", {**series, elsewhere: "1x90"}, asked, tmp_path)


STALE = {kind: f'aiops_scores_stale{{cluster="c", kind="{kind}"}}' for kind in ("anomaly", "forecast")}


@pytest.mark.needs("prometheus")
@pytest.mark.parametrize(
    ("series", "kinds"),
    [
        ({STALE["anomaly"]: "1x90", STALE["forecast"]: "0x90", MADE: "0x90"}, ["anomaly"]),
        ({STALE["anomaly"]: "0x90", STALE["forecast"]: "1x90", MADE: "0x90"}, ["forecast"]),
        ({STALE["anomaly"]: "1x90", STALE["forecast"]: "1x90", MADE: "0x90"}, ["anomaly", "forecast"]),
        ({STALE["anomaly"]: "0x90", MADE: "0x90"}, []),
        ({}, [""]),
    ],
)
def test_stale_scores_fire_for_each_kind_that_is_missing(
    series: dict[str, str], kinds: list[str], tmp_path: Path
) -> None:
    found = 'count by (kind) (ALERTS{alertname="AiopsScoresStale", alertstate="firing"})'
    expected = [{"labels": f'{{kind="{kind}"}}' if kind else "{}", "value": 1} for kind in kinds]
    asked = [{"expr": found, "eval_time": "30m", "exp_samples": expected}]
    evaluate("AiopsScoresStale", series, asked, tmp_path)


@pytest.mark.needs("prometheus")
def test_a_page_fires_at_once_and_once_a_pod_and_ends_with_its_gauge(tmp_path: Path) -> None:
    of = 'cluster="c", kind="pod", namespace="shop", pod="{}", workload="cart", metric="{}"'
    series = {
        f"aiops_anomaly_page{{{of.format('sick', 'a')}}}": "_x10 1x9 stale",
        f"aiops_anomaly_page{{{of.format('sick', 'b')}}}": "_x5 1x19 stale",
        f"aiops_anomaly_alert{{{of.format('noticed', 'a')}}}": "1x90",
    }
    found = 'count by (pod, severity) (ALERTS{alertname="AiopsAnomaly", alertstate="firing"})'
    fires = [{"labels": '{pod="sick", severity="critical"}', "value": 1}]
    asked = [
        {"expr": found, "eval_time": f"{minute}m", "exp_samples": fires if 5 <= minute <= 24 else []}
        for minute in (4, 5, 10, 20, 24, 25)
    ]
    evaluate("AiopsAnomaly", series, asked, tmp_path)


@pytest.mark.needs("prometheus")
@pytest.mark.parametrize(("name", "gauge"), [("AiopsMetricAnomaly", "metric_alert"), ("AiopsSilence", "silence")])
def test_an_alert_on_a_metric_has_the_severity_of_its_entry_and_is_one_of_both_replicas(
    name: str, gauge: str, tmp_path: Path
) -> None:
    of = 'cluster="c", reason="r", metric="m", entity="{}", severity="{}", queue="{}", instance="{}"'
    series = {
        f"aiops_{gauge}{{{of.format('e', 'critical', 'a', '1')}}}": "1x90",
        f"aiops_{gauge}{{{of.format('e', 'critical', 'a', '2')}}}": "1x90",
        f"aiops_{gauge}{{{of.format('f', 'info', 'b', '1')}}}": "1x90",
        f"aiops_{gauge}{{{of.format('g', 'info', 'c', '1')}}}": "0x90",
    }
    found = f'count by (entity, severity) (ALERTS{{alertname="{name}", alertstate="firing"}})'
    labels = ('{entity="e", severity="critical"}', '{entity="f", severity="info"}')
    expected = [{"labels": one, "value": 1} for one in labels]
    evaluate(name, series, [{"expr": found, "eval_time": "1m", "exp_samples": expected}], tmp_path)


@pytest.mark.needs("prometheus")
@pytest.mark.parametrize(
    ("values", "fires"),
    [
        ("86400x90", {60: True, 90: True}),
        ("259201x90", {60: False, 90: False}),
        ("86400x50 _x10 86400x30", {60: False, 90: False}),  # a rise that ends within the hour
        ("345600x40 86400x50", {60: False, 90: False}),
        ("86400x65 _x25", {60: True, 80: True}),  # runs without an estimate
        ("86400x65 864000x60", {60: True, 120: False}),
    ],
    ids=["a day", "over three days", "a blip", "since 50 minutes", "missed runs", "cleaned up"],
)
def test_what_runs_out_fires_after_an_hour_and_no_blip_does(
    values: str, fires: dict[int, bool], tmp_path: Path
) -> None:
    labels = 'cluster="c", kind="volume", namespace="shop", persistentvolumeclaim="data"'
    replicas = {f'aiops_exhaustion_seconds{{{labels}, instance="{one}"}}': values for one in "ab"}
    found = 'count by (persistentvolumeclaim) (ALERTS{alertname="AiopsExhaustion", alertstate="firing"})'
    one = [{"labels": '{persistentvolumeclaim="data"}', "value": 1}]
    asked = [
        {"expr": found, "eval_time": f"{minute}m", "exp_samples": one if firing else []}
        for minute, firing in fires.items()
    ]
    evaluate("AiopsExhaustion", replicas, asked, tmp_path)


RECORDED: dict[str, tuple[dict[str, str], dict[str, float]]] = {
    "workload_model:aiops_anomaly_alert:sum": (
        {
            'aiops_anomaly_alert{cluster="c", model="m", namespace="n", workload="w", pod="a", instance="1"}': "1x5",
            'aiops_anomaly_alert{cluster="c", model="m", namespace="n", workload="w", pod="a", instance="2"}': "1x5",
            'aiops_anomaly_alert{cluster="c", model="m", namespace="n", workload="w", pod="b", instance="1"}': "1x5",
            'aiops_anomaly_alert{cluster="c", model="m", namespace="n", workload="calm", pod="c"}': "0x5",
        },
        {
            '{cluster="c", model="m", namespace="n", workload="w"}': 2,
            '{cluster="c", model="m", namespace="n", workload="calm"}': 0,
        },
    ),
    "workload_model:aiops_anomaly_score:max": (
        {
            'aiops_anomaly_score{cluster="c", model="m", namespace="n", workload="w", pod="a"}': "0.2x5",
            'aiops_anomaly_score{cluster="c", model="m", namespace="n", workload="w", pod="b"}': "0.7x5",
        },
        {'{cluster="c", model="m", namespace="n", workload="w"}': 0.7},
    ),
    "workload:aiops_anomaly_page:count": (
        {
            'aiops_anomaly_page{cluster="c", kind="pod", namespace="n", workload="w", pod="a", metric="x"}': "1x5",
            'aiops_anomaly_page{cluster="c", kind="pod", namespace="n", workload="w", pod="a", metric="y"}': "1x5",
            'aiops_anomaly_page{cluster="c", kind="node", node="n1", metric="x"}': "1x5",
        },
        {'{cluster="c", namespace="n", workload="w"}': 1},
    ),
    "cluster:aiops_anomaly_page:count": (
        {
            'aiops_anomaly_page{cluster="c", kind="pod", namespace="n", pod="a", metric="x"}': "1x5",
            'aiops_anomaly_page{cluster="c", kind="pod", namespace="n", pod="b", metric="x"}': "1x5",
            'aiops_anomaly_page{cluster="c", kind="node", node="n1", metric="x"}': "1x5",
            'aiops_scores_watched{cluster="c"}': "9x5",
            'aiops_scores_watched{cluster="calm"}': "9x5",
        },
        {'{cluster="c"}': 3, '{cluster="calm"}': 0},
    ),
    "cluster:aiops_scores_watched:ratio": (
        {
            'aiops_scores_watched{cluster="c"}': "90x5",
            'aiops_scores_unwatched{cluster="c", reason="above_cap"}': "6x5",
            'aiops_scores_unwatched{cluster="c", reason="no_cpu"}': "4x5",
            'aiops_scores_unwatched{cluster="c", reason="metric_not_fetched"}': "9x5",
        },
        {'{cluster="c"}': 0.9},
    ),
    "cluster_kind:aiops_exhaustion_seconds:min": (
        {
            'aiops_exhaustion_seconds{cluster="c", kind="disk", node="a"}': "500x5",
            'aiops_exhaustion_seconds{cluster="c", kind="disk", node="b"}': "50x5",
        },
        {'{cluster="c", kind="disk"}': 50},
    ),
    "namespace_kind:aiops_exhaustion_seconds:min": (
        {
            'aiops_exhaustion_seconds{cluster="c", kind="disk", node="a"}': "5x5",
            'aiops_exhaustion_seconds{cluster="c", kind="volume", namespace="n", persistentvolumeclaim="v"}': "60x5",
            'aiops_exhaustion_seconds{cluster="c", kind="volume", namespace="n", persistentvolumeclaim="w"}': "70x5",
        },
        {'{cluster="c", kind="volume", namespace="n"}': 60},
    ),
}
"""Recording rule -> series, and what it makes of them."""


@pytest.mark.needs("prometheus")
def test_recording_rules_make_what_people_chart(tmp_path: Path) -> None:
    assert [one["record"] for one in recorded()] == list(RECORDED)
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(manifest("recording-rules")["spec"]))
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": one, "values": values} for one, values in series.items()],
            "promql_expr_test": [
                {
                    "expr": f'{{__name__="{name}"}}',
                    "eval_time": "2m",
                    "exp_samples": [{"labels": name + labels, "value": value} for labels, value in made.items()],
                }
            ],
        }
        for name, (series, made) in RECORDED.items()
    ]
    file = tmp_path / "unit.yml"
    file.write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}))
    promtool("test", "rules", str(file))
    assert "SUCCESS" in promtool("check", "rules", "--lint-fatal", str(tmp_path / "rules.yml"))


@pytest.mark.needs("prometheus")
def test_drift_fires_for_the_metrics_that_drifted_in_two_looks(tmp_path: Path) -> None:
    series = {
        'aiops_drift{cluster="c", metric="stays"}': "1x150",
        'aiops_drift{cluster="c", metric="calm"}': "0x150",
        'aiops_drift{cluster="c", metric="one_look"}': "1x59 0x90",
    }
    found = 'count by (metric, severity) (ALERTS{alertname="AiopsDrift", alertstate="firing"})'
    expected = [{"labels": '{metric="stays", severity="info"}', "value": 1}]
    evaluate("AiopsDrift", series, [{"expr": found, "eval_time": "130m", "exp_samples": expected}], tmp_path)


def evaluate(name: str, series: dict[str, str], asked: Sequence[Mapping[str, object]], folder: Path) -> None:
    """Let promtool run one alert's rule on series of a service in production."""
    (rule,) = (rule for rule in rules() if rule["alert"] == name)
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "aiops", "rules": [rule]}]}))
    inputs = {SERVICE: "1x90", **series}
    test = {
        "interval": "1m",
        "input_series": [{"series": one, "values": values} for one, values in inputs.items()],
        "promql_expr_test": [dict(one) for one in asked],
    }
    file = folder / "unit.yml"
    file.write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [test]}))
    promtool("test", "rules", str(file))


@pytest.mark.needs("prometheus")
@pytest.mark.parametrize("url", ["", "https://aiops.example.com/ml"])
def test_the_link_of_an_alert_begins_with_the_url_that_its_service_has(url: str, tmp_path: Path) -> None:
    (rule,) = (rule for rule in rules() if rule["alert"] == "AiopsNodeAnomaly")
    about = {"cluster": "c", "node": "n1:9100"}
    series = {
        f'aiops_anomaly_page{{cluster="c", kind="node", node="{about["node"]}", metric="m"}}': "1x5",
        f'aiops_service_info{{cluster="c", instance="1", external_url="{url}"}}': "1x5",
        'aiops_service_info{cluster="another", instance="2", external_url="https://elsewhere"}': "1x5",
    }
    annotations = dict(rule["annotations"])
    for name, value in about.items():
        annotations = {key: text.replace(f"{{{{ $labels.{name} }}}}", value) for key, text in annotations.items()}
    annotations["explain"] = f"{url}/api/v1/explain?node={about['node']}"
    expected = {"exp_labels": {**about, "severity": "critical"}, "exp_annotations": annotations}
    test = {
        "interval": "1m",
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "alert_rule_test": [{"eval_time": "1m", "alertname": rule["alert"], "exp_alerts": [expected]}],
    }
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "aiops", "rules": [rule]}]}))
    (tmp_path / "unit.yml").write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "tests": [test]}))
    promtool("test", "rules", str(tmp_path / "unit.yml"))


@pytest.mark.needs("prometheus")
def test_promtool_takes_the_rules(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(manifest("prometheus-rule")["spec"]))
    assert f"SUCCESS: {len(CONDITIONS)} rules found" in promtool(
        "check", "rules", "--lint-fatal", str(tmp_path / "rules.yml")
    )
