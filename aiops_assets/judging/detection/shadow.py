"""Challenger beside champion: predictions of both for the same newest rows, and how they compare over the windows kept.

A challenger runs in the shadow of the champion: its scores are kept, and nobody is called by them. Figures of two
windows are not comparable (other rows), figures of one window are, so comparing over time means counting windows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.errors import ModelError
from aiops_assets.judging.detection.figures import Figures, judge
from aiops_assets.judging.detection.gate import AP_TOLERANCE
from aiops_assets.learners.contracts import Scored
from aiops_assets.synthetic.anomalies import ANOMALIES
from aiops_assets.timeseries.series import Floats

ROWS = ("timestamp", "pod", "source", "label", "kind")
COLUMNS = (*ROWS, "challenger_score", "challenger_alert", "challenger_first", "champion_score", "champion_alert")
CHALLENGER, CHAMPION = "challenger", "champion"
MIN_POD_ROWS = 48
"""A line of a pod's scores needs so many rows: four hours of every five minutes."""
MAX_EPISODE_MINUTES = {name: anomaly.minutes[1] for name, anomaly in ANOMALIES.items()}
MAX_OTHER_MINUTES = max(MAX_EPISODE_MINUTES.values())
"""An episode of a known kind, and of any other, lasts so many minutes at most."""

Names = npt.NDArray[np.object_]


@dataclass(frozen=True)
class SideBySide:
    """Two models on the rows of one window.

    Attributes:
        challenger: its figures.
        champion: its figures; ``None`` where its scores are missing.
        alerts_agree: share of rows on which both raise an alert or neither; ``None`` without the champion's.
        rank_correlation: Spearman's, of the scores; ``None`` also where one scores all rows alike.
    """

    challenger: Figures
    champion: Figures | None
    alerts_agree: float | None
    rank_correlation: float | None


def side_by_side(rows: pd.DataFrame, challenger: Scored, champion: Scored | None, first: Names) -> pd.DataFrame:
    """A frame of :data:`COLUMNS`, a row a hold-out row.

    Args:
        rows: n hold-out rows with :data:`ROWS`.
        challenger, champion: their predictions for these rows, in this order; ``None``: its columns hold nothing.
        first: (n,) the metric that contributes most, from :func:`first_contributors`.
    """
    frame = rows[list(ROWS)].reset_index(drop=True)
    frame["challenger_score"] = challenger.score
    frame["challenger_alert"] = pd.array(challenger.alert, dtype="boolean")
    frame["challenger_first"] = pd.array(first, dtype="str")
    frame["champion_score"] = np.nan if champion is None else champion.score
    alerts = [pd.NA] * len(frame) if champion is None else champion.alert
    frame["champion_alert"] = pd.array(alerts, dtype="boolean")
    return frame[list(COLUMNS)]


def first_contributors(
    explain: Callable[[pd.DataFrame], Scored], contributors: Sequence[str], holdout: pd.DataFrame, scored: Scored
) -> Names:
    """The metric that contributes most to each row that is anomalous or under alert, (n_rows,); elsewhere "".

    Args:
        explain: the challenger's scores of some rows, with contributions.
        contributors: names of the columns of contributions.
        holdout: n rows.
        scored: its predictions for them. Where they hold no contributions (these cost a row detector six times as
            much), those of the rows that people would look at are computed.
    """
    looked_at = scored.alert | (holdout["label"].to_numpy() == 1)
    shares = scored.contributions[looked_at]
    if looked_at.any() and not scored.contributions.any():
        shares = explain(holdout[looked_at]).contributions
    first = np.full(len(holdout), "", dtype=object)
    if looked_at.any():
        names = np.array([*contributors, ""], dtype=object)
        first[looked_at] = names[np.where(shares.any(axis=1), shares.argmax(axis=1), len(names) - 1)]
    return first


def compare(frame: pd.DataFrame) -> SideBySide:
    """Judge both models of a frame of :data:`COLUMNS`.

    Raises:
        ModelError: the challenger's scores are missing.
    """
    challenger, champion = predictions_of(frame, CHALLENGER), predictions_of(frame, CHAMPION)
    if challenger is None:
        raise ModelError("the challenger's scores are not finite", code="not_finite")
    if champion is None:
        return SideBySide(judge(challenger, frame), None, None, None)
    return SideBySide(
        challenger=judge(challenger, frame),
        champion=judge(champion, frame),
        alerts_agree=float((challenger.alert == champion.alert).mean()) if len(frame) else None,
        rank_correlation=_rank_correlation(challenger.score, champion.score),
    )


def predictions_of(frame: pd.DataFrame, who: str) -> Scored | None:
    """Predictions of "challenger" or "champion"; ``None`` where there are none. No contributions are kept."""
    score = frame[f"{who}_score"].to_numpy(dtype=np.float64)
    if len(score) and not np.isfinite(score).all():
        return None
    alert = frame[f"{who}_alert"].to_numpy(dtype=bool, na_value=False)
    return Scored(score, alert, np.zeros((len(frame), 0)))


def summary_of(windows: Sequence[tuple[bool, SideBySide]]) -> str:
    """One sentence on all windows kept; of each whether two different models were compared, and the comparison."""
    pairs = [(one.challenger, one.champion, one) for two, one in windows if two and one.champion is not None]
    kept = f"{len(windows)} window{'s' * (len(windows) != 1)}"
    if not pairs:
        return f"{kept}, none with two models: there is nothing to compare yet"
    gaps = [
        new.average_precision - old.average_precision
        for new, old, _ in pairs
        if new.average_precision is not None and old.average_precision is not None
    ]
    parts = []
    if gaps:
        better, worse = (sum(sign * gap > AP_TOLERANCE for gap in gaps) for sign in (1, -1))
        parts.append(
            f"the challenger ranked rows better in {better}, worse in {worse} and alike (within {AP_TOLERANCE}) in "
            f"{len(gaps) - better - worse}, by {np.mean(gaps):+.3f} of average precision on average"
        )
    agree = [one.alerts_agree for _, _, one in pairs if one.alerts_agree is not None]
    if agree:
        parts.append(f"their alerts agree on {np.mean(agree):.1%} of the rows")
    rates = [
        (new.false_alarm_rate, old.false_alarm_rate)
        for new, old, _ in pairs
        if new.false_alarm_rate is not None and old.false_alarm_rate is not None
    ]
    if rates:
        mean = np.mean(rates, axis=0)
        parts.append(f"normal rows under alert: {mean[0]:.2%} against {mean[1]:.2%}")
    return f"{kept}, {len(pairs)} with two models: {'; '.join(parts)}"


def busiest(frame: pd.DataFrame) -> tuple[str, pd.DataFrame]:
    """The name of the pod with the most kinds of anomalies, then anomalous rows, and its rows in order of time.

    Empty and all rows where every pod has too few: rows of a row detector are drawn from many pods.
    """
    owners = frame.groupby(["source", "pod"], observed=True, sort=True)
    counts = owners.agg(
        rows=("label", "size"), anomalous=("label", "sum"), kinds=("kind", lambda kind: len({*kind} - {"normal"}))
    )
    counts = counts[counts["rows"] >= MIN_POD_ROWS]
    if counts.empty:
        return "", frame.sort_values("timestamp", kind="stable", ignore_index=True)
    found = counts.sort_values(["kinds", "anomalous"], ascending=False, kind="stable").index[0]
    rows = owners.get_group(found)
    return str(found[1]), rows.sort_values("timestamp", kind="stable", ignore_index=True)


def episodes_caught(frame: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """Kind -> (episodes in which the challenger raised an alert, all episodes).

    An episode is what a pod's rows show of one: anomalous rows of one kind with no other row between them, none
    further from the one before than such an anomaly lasts.
    """
    rows = frame.sort_values(["source", "pod", "timestamp"], kind="stable")
    owner = rows.groupby(["source", "pod"], observed=True, sort=False).ngroup()
    lasts = pd.to_timedelta(rows["kind"].map(MAX_EPISODE_MINUTES).astype(float).fillna(MAX_OTHER_MINUTES), unit="min")
    kind = rows["kind"].astype(str)
    begins = (owner != owner.shift()) | (kind != kind.shift()) | (rows["timestamp"].diff() > lasts)
    anomalous = rows["label"] == 1
    episode = begins.cumsum()[anomalous]
    caught = rows.loc[anomalous, "challenger_alert"].astype(bool).groupby([kind[anomalous], episode]).any()
    counts = caught.groupby(level=0).agg(["sum", "size"])
    return {str(name): (int(some), int(all_of)) for name, some, all_of in counts.itertuples()}


def first_by_kind(frame: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Share of each kind's anomalous rows in which a metric contributes most: (kinds, metrics); rows sum to 1 or less.

    A kind without contributions in any row is left out.
    """
    spoken = frame[(frame["label"] == 1) & (frame["challenger_first"] != "")]
    shares = pd.crosstab(spoken["kind"].astype(str), spoken["challenger_first"].astype(str), normalize="index")
    return shares.reindex(columns=list(metrics), fill_value=0.0)


def right_first(shares: pd.DataFrame) -> Mapping[str, float]:
    """Kind -> share of its rows in which a metric that the anomaly changes contributes most.

    Args:
        shares: (kinds, metrics), from :func:`first_by_kind`.
    """
    return {
        str(kind): float(shares.loc[kind, [name for name in shares if name in ANOMALIES[kind].shapes]].sum())
        for kind in shares.index
        if kind in ANOMALIES
    }


def _rank_correlation(one: Floats, other: Floats) -> float | None:
    """Spearman's: Pearson's of the ranks, ties sharing theirs."""
    ranks = [pd.Series(score).rank().to_numpy() for score in (one, other)]
    if any(np.ptp(rank) == 0 for rank in ranks if len(rank)) or not len(one):
        return None
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
