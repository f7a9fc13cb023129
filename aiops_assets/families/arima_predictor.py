"""arima-predictor: an ARIMA model of each metric."""

from typing import TYPE_CHECKING

from typing_extensions import override

from aiops_assets.families.contract import ModelSpec
from aiops_assets.families.forecasters import INTERVALS, SERIES_ALONE, SingleSeriesFamily
from aiops_assets.views.catalog import CLUSTER_METRICS_VIEW

if TYPE_CHECKING:
    from aiops_assets.learners.forecasters.arima import ArimaForecaster


class ArimaFamily(SingleSeriesFamily["ArimaForecaster"]):
    """ARIMA models of statsmodels."""

    packages = ("statsmodels", "numpy", "scipy", "pandas")
    framework = "statsmodels"
    typical_seconds = 8.0
    use = (
        "For forecasts of a cluster's metrics over the next hours: an ARIMA model of each, less its daily profile "
        "where that helps."
    )
    limits = (
        f"{SERIES_ALONE} It models no weekend, and a daily profile only if it was fitted with one; far ahead its "
        f"forecast is little more than that profile or a level. {INTERVALS}"
    )
    loading = (
        "from aiops_assets.learners.forecasters.arima import ArimaForecaster",
        "",
        'model = ArimaForecaster.from_bytes((folder / "model.json").read_bytes())  # model.forecast(history, 288)',
    )

    @override
    def unfitted(self, seed: int) -> "ArimaForecaster":
        from aiops_assets.learners.forecasters.arima import ArimaForecaster

        return ArimaForecaster(seed)

    @override
    def from_bytes(self, data: bytes) -> "ArimaForecaster":
        from aiops_assets.learners.forecasters.arima import ArimaForecaster

        return ArimaForecaster.from_bytes(data)


ARIMA_PREDICTOR = ModelSpec(
    name="arima-predictor",
    view=CLUSTER_METRICS_VIEW,
    training_days=14,
    description="Forecasts each metric of a cluster by an ARIMA model of its own, with an 80 % interval.",
    family=ArimaFamily(),
    aliases=("timeseries-predictor",),
)
