"""What each family of models is for, and what it must not be taken for."""

from aiops_assets.families.catalog import ARIMA, LSTM, PREDICTIVE, PROPHET, ROW_FOREST, WINDOW_ENSEMBLE

OF_PODS = (
    "For watching pods over time: it reads a pod's metrics in order and gives each row a score for ranking and an "
    "alert for people."
)
INTERVALS = (
    "An interval of 80 % leaves one value in five outside, also when all is well; it says nothing of what has never "
    "happened in the training window."
)
SERIES_ALONE = "It looks at one metric at a time: what another one is about to cause, it does not see."
USES = {
    ROW_FOREST: (
        "For a coordination engine that asks about one row at a time: a pod, its nodes and the last six minutes. "
        "It answers 1 (normal) or -1 (an anomaly).",
        "It remembers nothing between two rows: what creeps for hours looks normal in each of them. A score says how "
        "odd a row is, not how likely an outage.",
    ),
    WINDOW_ENSEMBLE: (
        OF_PODS,
        "It needs a pod's history, at least a day of it, and says little of one that has just begun. It keeps "
        "learning: what stays long enough becomes normal. A score says how odd a row is, not how likely an outage.",
    ),
    LSTM: (
        OF_PODS + " Unusual is what an autoencoder cannot write out again from what it learned of such windows.",
        "It needs a pod's history: a score is of the last 80 minutes, and scales and alert threshold want a day of it. "
        "Its weights stay as they were fitted, but its scales keep learning: what stays long enough becomes normal. A "
        "score says how odd a row is, not how likely an outage.",
    ),
    PREDICTIVE: (
        "For questions of how the metrics of a cluster go on within a day: trees over all metrics and horizons at "
        "once, from whatever history is at hand, a single sample or weeks.",
        "`cpu_usage` is in cores per container, no share of anything, and is clipped to 0-1 when the engine asks: "
        "containers that use more than a core on average are told as 1. A forecast from a single sample knows no "
        f"trend and no season of its own, and is much less sure than one from two weeks. {INTERVALS}",
    ),
    ARIMA: (
        "For questions of how a metric of a cluster goes on in the next hours: an ARIMA model of each, less its daily "
        "profile where that helps.",
        f"{SERIES_ALONE} It knows no weekend, and a daily profile only if it was fitted with one; far ahead its "
        f"forecast is little more than that profile or a level. {INTERVALS}",
    ),
    PROPHET: (
        "For questions of how a metric of a cluster goes on over the next day: a Prophet model of each, of its daily "
        "season and, from two weeks of history on, its weekly one, and above it how far the newest rows are from that.",
        f"{SERIES_ALONE} It knows no trend but what the newest rows tell of the level, and its seasons are those of "
        "the fit: a cluster that has changed its habits since then is forecast as it used to be, until the next fit. "
        f"{INTERVALS}",
    ),
}
"""Family -> use, limits: Markdown."""
