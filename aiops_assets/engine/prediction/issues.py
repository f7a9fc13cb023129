"""Which issues are to be expected, and what may help: the answer of ``POST /api/v1/prediction/predict`` to
``issue_context``.

Pieces of evidence for one issue (samples, each kind of event, the state) are combined by a noisy-or: the issue fails to
come only if each piece fails to bring it (Pearl 1988, "Probabilistic Reasoning in Intelligent Systems", section 4.3.2).
The pieces' own probabilities are the tables of :mod:`aiops_assets.engine.prediction.issue_rules`.
Source: ADR-009's request example; engine contract, section 2.2.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from aiops_assets.durations import duration_text
from aiops_assets.engine.prediction.event_evidence import (
    Evidence,
    event_evidence,
    noisy_or,
    state_evidence,
    state_texts,
)
from aiops_assets.engine.prediction.issue_rules import ACTIONS, ENDED, STATE_RULES, EventRule, StateRule, words_of
from aiops_assets.engine.prediction.metric_evidence import metric_evidence
from aiops_assets.engine.prediction.sent_histories import UNITS, series_of
from aiops_assets.engine.samples import MEANINGS, Sample
from aiops_assets.engine.served_rows import Forecasting
from aiops_assets.engine.wording import distinct, say
from aiops_assets.judging.statements import Statement

LEAST_PROBABILITY, MOST_PROBABILITY = 0.2, 0.99
"""Issues that are less probable are not named; nothing is certain."""
MOST_REASONS = 5


@dataclass(frozen=True)
class PredictedIssue:
    """An issue that is to be expected.

    Attributes:
        issue: its id: pod_oom, cpu_saturation, crash_loop, disk_full, node_pressure, error_storm, ...
        probability: 0.2-0.99.
        time_to_occurrence: "5m", "1h30m", "7h", "3d".
        reasons: what speaks for it, the strongest first.
    """

    issue: str
    probability: float
    time_to_occurrence: str
    reasons: tuple[Statement, ...]


@dataclass(frozen=True)
class IssueOutlook:
    """The answer to ``issue_context``.

    Attributes:
        predicted_issues: the most probable first.
        suggested_actions: short words without repeats, of the most probable issue first.
    """

    predicted_issues: tuple[PredictedIssue, ...]
    suggested_actions: tuple[str, ...]


def predicted_issues(
    samples: Sequence[Sample],
    events: Iterable[object],
    state: object,
    forecaster: Forecasting | None,
    *,
    now: datetime,
    detected: Sequence[str] = (),
) -> IssueOutlook:
    """Say which issues are to be expected.

    The time of an issue is the one that samples tell, of the surest such piece, else of the surest piece's table.

    Args:
        samples: ``issue_context.metrics``, after ``historical_metrics`` where those were sent too.
        events: ``recent_events``, oldest or newest first; texts or objects, see
            :func:`~aiops_assets.engine.prediction.event_evidence.event_evidence`.
        state: ``current_state``: a text, any object, or ``None``. Numbers in it that have the name of a metric count
            as its newest sample where no other was sent.
        forecaster: what is served; ``None``: samples are judged by their own lines.
        now: with an offset.
        detected: kinds of anomalies that were found in the same samples. They say what an event of now would, but of
            an issue that samples speak for already no more than the stronger of the two: it is one observation.

    Raises:
        SchemaError, DataError: an event that cannot be read, see ``event_evidence``; too many samples, see
            :func:`~aiops_assets.engine.prediction.sent_histories.series_of`.
        ModelError: the forecaster gave no forecast that could be used.
    """
    texts, numbers = state_texts(state)
    known = [Sample(name, value) for name, value in numbers.items() if _is_metric(name)]
    sent = {sample.name for sample in samples}
    every = together([*samples, *(one for one in known if one.name not in sent)], now)
    pieces = metric_evidence(series_of(every, now), forecaster)
    pieces += _beyond(pieces, [event_evidence([kind], now) for kind in dict.fromkeys(detected)])
    pieces += event_evidence(events, now)
    pieces += state_evidence(texts)
    by_issue: dict[str, list[Evidence]] = {}
    for piece in pieces:
        by_issue.setdefault(piece.issue, []).append(piece)
    rule = _state_rule(texts)
    if rule and not any(noisy_or(p.probability for p in each) >= LEAST_PROBABILITY for each in by_issue.values()):
        by_issue[rule.issue] = [Evidence(rule.issue, rule.probability, rule.minutes, False, say("state_alone"))]
        rule = None
    named = [_issue(issue, each, rule) for issue, each in by_issue.items()]
    issues = sorted(
        (one for one in named if one.probability >= LEAST_PROBABILITY), key=lambda one: (-one.probability, one.issue)
    )
    actions = dict.fromkeys(action for one in issues for action in ACTIONS.get(one.issue, ()))
    return IssueOutlook(tuple(issues), tuple(actions))


def together(samples: Sequence[Sample], now: datetime) -> list[Sample]:
    """All samples; one without a time is of now where others of its name have one."""
    timed = {sample.name for sample in samples if sample.time is not None}
    return [replace(sample, time=now) if sample.time is None and sample.name in timed else sample for sample in samples]


def _issue(issue: str, pieces: list[Evidence], state: StateRule | None) -> PredictedIssue:
    surest = sorted(pieces, key=lambda piece: -piece.probability)
    told = next((piece for piece in surest if piece.measured), surest[0])
    together = noisy_or([*(piece.probability for piece in pieces), *([state.support] if state else [])])
    # What is hardly probable by itself is not made an issue by a state that says nothing of it.
    if noisy_or(piece.probability for piece in pieces) < LEAST_PROBABILITY:
        together = 0.0
    return PredictedIssue(
        issue,
        round(min(together, MOST_PROBABILITY), 4),
        duration_text(told.minutes),
        distinct(piece.reason for piece in surest)[:MOST_REASONS],
    )


def _state_rule(texts: list[str]) -> StateRule | None:
    """The first rule, the gravest, whose words any text has that does not say it is over."""
    words = [words_of(text) for text in texts]
    words = [one for one in words if not EventRule(ENDED, "", 0.0, 0.0).says(one)]
    for rule in STATE_RULES:
        if any(EventRule(rule.words, "", 0.0, 0.0).says(one) for one in words):
            return rule
    return None


def _beyond(measured: list[Evidence], detected: list[list[Evidence]]) -> list[Evidence]:
    """Of each issue the strongest detected piece, less what is measured: a noisy-or then gives the larger of both."""
    strongest: dict[str, Evidence] = {}
    for piece in [piece for each in detected for piece in each]:
        if piece.issue not in strongest or piece.probability > strongest[piece.issue].probability:
            strongest[piece.issue] = piece
    left = []
    for issue, piece in strongest.items():
        already = noisy_or(one.probability for one in measured if one.issue == issue)
        if piece.probability > already:
            left.append(replace(piece, probability=1 - (1 - piece.probability) / (1 - already)))
    return left


def _is_metric(name: str) -> bool:
    return name in MEANINGS or name in UNITS
