"""fracast-predictor: a network that was trained elsewhere, for clusters that have no history yet."""

from typing import TYPE_CHECKING

from typing_extensions import override

from aiops_assets.families.contract import ModelSpec
from aiops_assets.families.forecasters import INTERVALS, SERIES_ALONE, SingleSeriesFamily
from aiops_assets.views.catalog import CLUSTER_METRICS_VIEW

if TYPE_CHECKING:
    from aiops_assets.learners.forecasters.pretrained import PretrainedForecaster


class FracastFamily(SingleSeriesFamily["PretrainedForecaster"]):
    """Fracast-0, with the weights of its wheel."""

    takes_any_size = True
    packages = ("fracast", "torch", "safetensors", "numpy", "pandas")
    framework = "pytorch"
    typical_seconds = 25.0
    use = (
        "For forecasts of a cluster's metrics over the next day, from the first hour on: the network was trained "
        "elsewhere, on public data, and nothing is fitted here but the width of its intervals."
    )
    limits = (
        f"{SERIES_ALONE} It reads two days, and knows no weekend. It is the work of one author, and says of itself "
        "that it is beta; public series on which forecasters are compared may be among those that it has learnt from. "
        "With an hour of history its intervals are those of other clusters: whether they fit here, nobody has "
        f"measured. {INTERVALS}"
    )
    how_refitted = (
        "The weights are always those of the installed package; each fit measures anew how wide intervals have to be."
    )
    loading = (
        "from aiops_assets.learners.forecasters.pretrained import PretrainedForecaster",
        "",
        "# The weights are not in the file: it has their digest, and the installed package must hold the same.",
        'model = PretrainedForecaster.from_bytes((folder / "model.json").read_bytes())  # model.forecast(history, 288)',
    )

    @override
    def unfitted(self, seed: int) -> "PretrainedForecaster":
        from aiops_assets.learners.forecasters.pretrained import PretrainedForecaster

        return PretrainedForecaster()

    @override
    def from_bytes(self, data: bytes) -> "PretrainedForecaster":
        from aiops_assets.learners.forecasters.pretrained import PretrainedForecaster

        return PretrainedForecaster.from_bytes(data)


FRACAST_PREDICTOR = ModelSpec(
    name="fracast-predictor",
    view=CLUSTER_METRICS_VIEW,
    training_days=14,
    description="Forecasts each metric of a cluster by a network that was trained elsewhere, with an 80 % interval.",
    family=FracastFamily(),
)
