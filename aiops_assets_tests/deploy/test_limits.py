"""Alert rules have the limits of the one table."""

import re

from aiops_assets.outlook.limits import LIMITS
from aiops_assets.timeseries.catalog import FORECAST_METRICS
from aiops_assets_tests.deploy.monitored import rules


def test_the_alert_about_forecasts_has_the_limit_of_every_ratio_that_is_forecast() -> None:
    (alert,) = (rule for rule in rules() if rule["alert"] == "AiopsPredictedBreach")
    threshold = re.search(r">\s*([\d.]+)\s*$", alert["expr"])
    assert threshold
    ratios = {LIMITS[metric.name].forecast for metric in FORECAST_METRICS if metric.unit == "ratio"}
    assert ratios == {float(threshold[1])}


def test_limits_of_a_metric_rise() -> None:
    for limit in LIMITS.values():
        levels = [limit.typical, limit.healthy, limit.warning, limit.alert, limit.critical, limit.full]
        assert levels == sorted(levels)
        assert limit.warning <= limit.forecast <= limit.full
