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
    use = (
        "For questions of how a metric of a cluster goes on over the next day: a Prophet model of each, of its daily "
        "season and, from two weeks of history on, its weekly one, and above it how far the newest rows are from that."
    )
    limits = (
        f"{SERIES_ALONE} It knows no trend but what the newest rows tell of the level, and its seasons are those of "
        "the fit: a cluster that has changed its habits since then is forecast as it used to be, until the next fit. "
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
    description="Says how each metric of a cluster goes on by a Prophet model of its own, with an 80 % interval.",
    family=ProphetFamily(),
)
