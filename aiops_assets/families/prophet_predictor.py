"""prophet-predictor: a Prophet model of each metric."""

from typing import TYPE_CHECKING

from typing_extensions import override

from aiops_assets.families.contract import ModelSpec
from aiops_assets.families.forecasters import INTERVALS, SERIES_ALONE, SingleSeriesFamily
from aiops_assets.views.catalog import CLUSTER_METRICS_VIEW

if TYPE_CHECKING:
    from aiops_assets.learners.forecasters.prophet import ProphetForecaster


class ProphetFamily(SingleSeriesFamily["ProphetForecaster"]):
    """Prophet models."""

    packages = ("prophet", "numpy", "pandas")
    framework = "prophet"
    typical_seconds = 6.0
    use = (
        "For forecasts of a cluster's metrics over the next day: a Prophet model of each, with its daily season and, "
        "from two weeks of history on, its weekly one, corrected by its errors on the newest rows."
    )
    limits = (
        f"{SERIES_ALONE} It has no trend but one that was steady for days, and its seasons are those of the fit: a "
        "cluster whose habits have changed since then is forecast as it was, until the next fit. "
        f"{INTERVALS}"
    )
    loading = (
        "from aiops_assets.learners.forecasters.prophet import ProphetForecaster",
        "",
        'model = ProphetForecaster.from_bytes((folder / "model.json").read_bytes())  # model.forecast(history, 288)',
    )

    @override
    def unfitted(self, seed: int) -> "ProphetForecaster":
        from aiops_assets.learners.forecasters.prophet import ProphetForecaster

        return ProphetForecaster(seed)

    @override
    def from_bytes(self, data: bytes) -> "ProphetForecaster":
        from aiops_assets.learners.forecasters.prophet import ProphetForecaster

        return ProphetForecaster.from_bytes(data)


PROPHET_PREDICTOR = ModelSpec(
    name="prophet-predictor",
    view=CLUSTER_METRICS_VIEW,
    training_days=14,
    description="Forecasts each metric of a cluster by a Prophet model of its own, with an 80 % interval.",
    family=ProphetFamily(),
)
