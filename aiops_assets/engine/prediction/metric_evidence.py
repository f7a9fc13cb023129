"""Evidence for issues from samples: levels, forecasts, trends towards a limit, restarts."""

from collections.abc import Mapping

import numpy as np

from aiops_assets.engine.events.rules import HOUR
from aiops_assets.engine.familiar import is_blip, is_expected_now
from aiops_assets.engine.models import FORECASTER
from aiops_assets.engine.prediction.event_evidence import Evidence
from aiops_assets.engine.prediction.issue_rules import (
    LEVEL_RULES,
    RESTART_PROBABILITIES,
    RESTARTS,
    LevelRule,
)
from aiops_assets.engine.prediction.outlooks import Outlook, outlooks
from aiops_assets.engine.prediction.predictions import probability_at_or_above
from aiops_assets.engine.restarts import newest_restarts
from aiops_assets.engine.samples import CHANGE, MEANINGS, Series, unit_factor
from aiops_assets.engine.served_rows import Forecasting
from aiops_assets.engine.wording import say
from aiops_assets.judging.statements import Statement
from aiops_assets.timeseries.series import DAY_SECONDS

HELD_SHARE = 0.5
"""Factor of the probability of a level that was held for long and does not rise."""
HELD_SAMPLES = 12
LEAK_SURE, LINE_SURE, LINE_SHORT = 0.9, 0.8, 0.6
"""Weights of leaks with an exact time of exhaustion, of robust lines over a dozen samples, and over fewer."""
FAR_HOURS = 672.0
"""Hours to exhaustion at which the probability is 0; it is one half at half of them, 14 days."""
LINE_WINDOWS, LOAD_WINDOWS, LOAD_SHARE = 4.0, 0.5, 0.5
"""Longest extrapolation of a line in lengths of its samples, for leaks and for load; and the weight of the latter."""
MIN_CHANGE_AN_HOUR, CHANGE_PROBABILITY = 0.02, 0.6


def metric_evidence(series: Mapping[str, Series], forecaster: Forecasting | None) -> list[Evidence]:
    """Evidence from samples: per issue the strongest present level, and the strongest evidence about its course.

    Only these two are used, because metrics of one resource correlate. The course follows from forecasts of a day,
    trends towards a limit, the documents' ``*_trend_*`` changes, and restarts of the newest hour.

    Raises:
        ModelError: a forecast that is not finite.
    """
    by_metric = {metric: rule for rule in LEVEL_RULES for metric in rule.metrics}
    looked_at = {name for name in series if _metric(name) in by_metric}
    pieces = [_restarts(one) for name, one in series.items() if _metric(name) == "container_restart_count"]
    for outlook in outlooks(series, DAY_SECONDS, forecaster, looked_at):
        rule = by_metric[_metric(outlook.name)]
        one = series[outlook.name]
        brief = is_blip(one) or is_expected_now(one)
        pieces += [_level(outlook, rule, brief=brief), _forecast(outlook, rule), _leak(outlook, rule)]
        pieces += [
            _change(outlook, rule, one)
            for name, one in series.items()
            if name in MEANINGS
            and MEANINGS[name].statistic == CHANGE
            and MEANINGS[name].metric.name == _metric(outlook.name)
        ]
    strongest: dict[tuple[str, bool], Evidence] = {}
    for piece in pieces:
        if piece is None:
            continue
        kind = (piece.issue, piece.measured)
        if kind not in strongest or piece.probability > strongest[kind].probability:
            strongest[kind] = piece
    return list(strongest.values())


def _metric(name: str) -> str:
    """The metric of a name; empty for statistics other than the value itself."""
    meaning = MEANINGS.get(name)
    if meaning is None:
        return name
    return meaning.metric.name if meaning.statistic == "value" else ""


def _percent(name: str) -> float:
    return 100.0 if name.endswith("_percent") else 1.0


def _level(outlook: Outlook, rule: LevelRule, *, brief: bool) -> Evidence | None:
    """Evidence from the newest level; ``brief``: it is expected at this hour, or a blip, and only its limit counts."""
    now = outlook.last / _percent(outlook.name)
    if now < (rule.limit.alert if brief else rule.limit.warning):
        return None
    probability = float(np.interp(now, rule.levels, rule.probabilities))
    if outlook.samples >= HELD_SAMPLES and outlook.trend != "increasing" and now < rule.levels[-1]:
        probability *= HELD_SHARE if _held(outlook, rule) else 1.0
    minutes = float(np.interp(now, rule.levels, rule.minutes))
    return Evidence(rule.issue, probability, minutes, False, say("level", metric=outlook.name, value=now))


def _held(outlook: Outlook, rule: LevelRule) -> bool:
    return outlook.level is not None and outlook.level.median / _percent(outlook.name) >= rule.levels[0]


def _forecast(outlook: Outlook, rule: LevelRule) -> Evidence | None:
    """Evidence from a forecast: how probable by the levels it may reach, and when by the limit, if it reaches that."""
    # Lines give one time only, and their extrapolation is judged together with leaks.
    if outlook.judged_by != FORECASTER or outlook.samples < 2 or outlook.trend == "decreasing":
        return None
    probability, when = 0.0, (0.0, 0.0)
    for level, sure in zip(rule.levels, rule.probabilities, strict=True):
        limit = level * _percent(outlook.name)
        reached = np.flatnonzero(outlook.value >= limit)
        steps = reached if len(reached) else np.flatnonzero(outlook.upper >= limit)
        if outlook.last >= limit or not len(steps):
            continue
        probability = max(probability, sure * probability_at_or_above(outlook, limit))
        if level <= rule.limit.alert:
            when = level, (int(steps[0]) + 1) * outlook.step_minutes
    level, minutes = when
    if not minutes:
        return None
    reason = say("forecast_reaches", metric=outlook.name, limit=level)
    return Evidence(rule.issue, probability, minutes, True, reason)


def _leak(outlook: Outlook, rule: LevelRule) -> Evidence | None:
    if outlook.trend != "increasing":
        return None
    if outlook.exhaustion is not None:
        leak = outlook.exhaustion
        if not leak.hours:
            return None
        # Half of the weight depends on the interval; an interval without an end leaves the other half.
        sure = LEAK_SURE * (0.5 + 0.5 * (leak.hours / leak.latest_hours if leak.latest_hours else 0.0))
        reason = Statement("leak", leak.in_words(), metric=leak.metric, limit=leak.limit, hours=leak.hours)
        return Evidence(rule.issue, sure * (1 - leak.hours / FAR_HOURS), leak.hours * HOUR, True, reason)
    level, limit = outlook.level, rule.limit
    end = limit.trend_end * _percent(outlook.name)
    if level is None or level.slope <= 0 or level.level >= end:
        return None
    hours = (end - level.level) / level.slope
    if hours > level.window_hours * (LINE_WINDOWS if limit.grows else LOAD_WINDOWS) or hours > FAR_HOURS / 2:
        return None
    sure = LINE_SURE if level.samples >= HELD_SAMPLES else LINE_SHORT
    probability = sure * (1 - hours / FAR_HOURS) * (1.0 if limit.grows else LOAD_SHARE)
    reason = say("line_reaches", metric=outlook.name, limit=limit.trend_end, hours=hours)
    return Evidence(rule.issue, probability, hours * HOUR, True, reason)


def _change(outlook: Outlook, rule: LevelRule, one: Series) -> Evidence | None:
    """Evidence from a level and its reported change; the level's own trend takes precedence if it has one."""
    # A change of 1.5 with a level of 92 is percent too.
    factor = max(unit_factor(outlook.unit, one.values.tolist()), outlook.factor)
    change = float(one.values[-1]) / factor / MEANINGS[one.name].hours
    room = rule.limit.trend_end - outlook.last
    if change < MIN_CHANGE_AN_HOUR or room <= 0:
        return None
    hours = room / change
    if hours > LINE_WINDOWS * MEANINGS[one.name].hours:
        return None
    probability = CHANGE_PROBABILITY * (1.0 if rule.limit.grows else LOAD_SHARE)
    return Evidence(rule.issue, probability, hours * HOUR, True, say("change", metric=one.name, change=change))


def _restarts(one: Series) -> Evidence | None:
    restarts, span = newest_restarts(one)
    if restarts <= 0 or span <= 0:
        return None
    an_hour = restarts / max(span, 1.0)
    probability = float(np.interp(an_hour, RESTARTS, RESTART_PROBABILITIES))
    reason = say("restarts", metric=one.name, restarts=restarts, hours=span)
    return Evidence("crash_loop", probability, span / restarts * HOUR, True, reason)
