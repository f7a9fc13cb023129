"""How sure the verdict is that all is well, and what cannot be true."""

import math

import numpy as np
import pytest

from aiops_assets.engine.detection.anomalies import Detection, detect
from aiops_assets.engine.detection.findings import confidence_of
from aiops_assets.engine.samples import Sample
from aiops_assets.errors import DataError
from aiops_assets.timeseries.catalog import ENGINE_METRICS, POD_MEMORY
from aiops_assets.timeseries.features import ENGINE_DEFAULT, FEATURES
from aiops_assets_tests.engine.row_forest import row_forest
from aiops_assets_tests.engine.situations import NOW, healthy_minutes, samples_of, timed, vector


def _detect(*samples: Sample) -> Detection:
    return detect(samples, row_forest(), now=NOW)


def test_defaults_alone_tell_nothing() -> None:
    said = _detect(*(Sample(name, value) for name, value in zip(FEATURES, ENGINE_DEFAULT * 5, strict=True)))
    assert (said.anomalies, said.confidence) == ([], 0.0)
    (note,) = said.notes
    assert note.code == "default_sent"
    assert note.facts["names"] == [metric.name for metric in ENGINE_METRICS]


def well_of(said: Detection) -> float:
    """How sure it is that nothing is wrong, by a score below 3: by its excess, two of which double it."""
    return 1 - confidence_of(2 * math.log2(said.anomaly_score / 3))


def test_a_pod_without_a_memory_limit_is_told_that_its_memory_was_not_judged() -> None:
    samples = samples_of(vector(healthy_minutes(np.random.default_rng(1))))
    assert _detect(*samples).notes == ()
    default = dict(zip(FEATURES, ENGINE_DEFAULT * 5, strict=True))
    memory = [Sample(one.name, default[one.name]) if one.name.startswith(POD_MEMORY.name) else one for one in samples]
    said = _detect(*memory)
    assert [(note.code, note.facts["names"]) for note in said.notes] == [("default_sent", [POD_MEMORY.name])]
    assert said.confidence == pytest.approx(well_of(said) * 4 / 5)
    assert _detect(Sample(f"{POD_MEMORY.name}_diff", 0.0)).notes == ()


def test_a_change_alone_tells_no_metric() -> None:
    assert _detect(Sample("cpu_trend_5m", 0.01)).confidence == 0.0


@pytest.mark.parametrize("sample", [Sample("container_restarts", 500.0), Sample("memory_usage", 0.4)])
def test_one_metric_of_five_is_a_fifth_of_the_evidence(sample: Sample) -> None:
    said = _detect(sample)
    assert said.anomalies == []
    assert said.confidence == pytest.approx(well_of(said) / 5)


def test_all_five_metrics_are_all_of_the_evidence() -> None:
    said = _detect(*samples_of(vector(healthy_minutes(np.random.default_rng(1)))))
    assert said.confidence == pytest.approx(well_of(said))
    assert said.confidence > 0.5


def test_names_nobody_knows_take_nothing_away() -> None:
    five = samples_of(vector(healthy_minutes(np.random.default_rng(1))))
    assert _detect(*five, Sample("x", 1.0)).confidence == _detect(*five).confidence


def test_limits_and_histories_alone_are_not_certain() -> None:
    calm = 5 + np.random.default_rng(2).standard_normal(30)
    for samples in ([Sample("disk_usage", 0.4)], samples_of(timed("queue_length", calm))):
        assert _detect(*samples).confidence == 0.8


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("container_restarts", -5.0),
        ("memory_usage", -0.5),
        ("pod_memory_usage_std_5m", -0.5),
        ("node_cpu_utilization_lag_1", -20.0),
        ("pod_cpu_usage", -1.0),
        ("disk_usage", -0.2),
        ("error_rate", -0.2),
        ("memory_usage_percent", -3.0),
    ],
)
def test_what_cannot_be_below_0_is_refused(name: str, value: float) -> None:
    with pytest.raises(DataError, match=f"{name}: {value:g} is below 0"):
        _detect(Sample(name, value))


@pytest.mark.parametrize(
    "name",
    ["cpu_trend_5m", "pod_memory_usage_diff", "pod_memory_usage_pct_change", "container_restart_count_diff", "profit"],
)
def test_what_may_be_below_0_is_taken(name: str) -> None:
    assert _detect(Sample(name, -0.3)).total == 1


def test_an_idle_share_that_is_a_little_above_1_is_taken() -> None:
    assert _detect(Sample("node_cpu_utilization", -0.003)).total == 1


def test_one_sample_of_a_history_that_cannot_be_true_is_no_reason_to_refuse_the_rest() -> None:
    values = np.full(20, 0.4)
    values[3] = -0.5
    assert _detect(*samples_of(timed("memory_usage", values))).anomalies == []
    values[-1] = -0.5
    with pytest.raises(DataError, match="memory_usage"):
        _detect(*samples_of(timed("memory_usage", values)))
