"""Predicts issues and suggests actions: the answer of ``POST /api/v1/prediction/predict`` to ``issue_context``.

Pieces of evidence for one issue (samples, each kind of event, the state) are combined by a noisy-or: the issue does not
occur only if none of them causes it (Pearl 1988, "Probabilistic Reasoning in Intelligent Systems", section 4.3.2).
The pieces' own probabilities are the tables of :mod:`aiops_assets.engine.prediction.issue_rules`.
Source: ADR-009's request example; engine contract, section 2.2.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from aiops_assets.durations import duration_text
from aiops_assets.engine.events.event import Event
from aiops_assets.engine.events.reading import read_events
from aiops_assets.engine.events.rules import ENDED, has_words, words_of
from aiops_assets.engine.events.state import State
from aiops_assets.engine.prediction.event_evidence import Evidence, event_evidence, noisy_or, state_evidence
from aiops_assets.engine.prediction.issue_rules import ACTIONS, STATE_RULES, StateRule
from aiops_assets.engine.prediction.metric_evidence import metric_evidence
from aiops_assets.engine.prediction.sent_histories import UNITS, series_of
from aiops_assets.engine.samples import MEANINGS, Sample
from aiops_assets.engine.served_rows import Forecasting
from aiops_assets.engine.wording import distinct, say
from aiops_assets.judging.statements import Statement

MIN_PROBABILITY, MAX_PROBABILITY = 0.2, 0.99
"""Issues below the first are not reported; no probability is above the second."""
MAX_REASONS = 5


@dataclass(frozen=True)
class PredictedIssue:
    """A predicted issue.

    Attributes:
        issue: id: pod_oom, cpu_saturation, crash_loop, disk_full, node_pressure, error_storm, ...
        probability: 0.2-0.99.
        time_to_occurrence: "5m", "1h30m", "7h", "3d".
        reasons: sentences about the evidence, the strongest first.
        suppressed: whether only silenced or inhibited alerts suggest it, so that no action is suggested.
    """

    issue: str
    probability: float
    time_to_occurrence: str
    reasons: tuple[Statement, ...]
    suppressed: bool = False

    @property
    def is_of_state(self) -> bool:
        """Whether the words of the state are its only evidence."""
        return any(reason.code == "state_alone" for reason in self.reasons)


@dataclass(frozen=True)
class IssueOutlook:
    """The answer to ``issue_context``.

    Attributes:
        predicted_issues: issues, the most probable first.
        suggested_actions: short words without repeats, those of the most probable issue first.
        notes: what was sent and not used.
    """

    predicted_issues: tuple[PredictedIssue, ...]
    suggested_actions: tuple[str, ...]
    notes: tuple[Statement, ...] = ()


def predicted_issues(
    samples: Sequence[Sample],
    events: Sequence[Event],
    state: State | None,
    forecaster: Forecasting | None,
    *,
    now: datetime,
    detected: Sequence[str] = (),
) -> IssueOutlook:
    """Predict issues.

    The time of an issue is that of the surest evidence from samples or, without any, that in the table of the surest
    piece.

    Args:
        samples: ``issue_context.metrics``, after ``historical_metrics`` if those were sent too.
        events: ``recent_events``, in any order.
        state: ``current_state``; ``None``: none was sent. Numbers in it with the name of a metric are used as its
            newest sample if no other was sent.
        forecaster: the served forecaster; ``None``: robust lines are used instead.
        now: present time, with an offset.
        detected: kinds of anomalies found in the same samples. They are evidence like events of now, but together with
            that of samples for the same issue only the stronger one is used: it is one observation.

    Raises:
        DataError: too many samples, see :func:`~aiops_assets.engine.prediction.sent_histories.series_of`.
        ModelError: the forecast is not usable.
    """
    state = state or State()
    known = [Sample(name, value) for name, value in state.numbers.items() if _is_metric(name)]
    sent = {sample.name for sample in samples}
    every = with_times([*samples, *(one for one in known if one.name not in sent)], now)
    pieces = metric_evidence(series_of(every, now), forecaster)
    pieces += _above_measured(pieces, [_of_kind(kind, now) for kind in dict.fromkeys(detected)])
    pieces += event_evidence(events, now)
    pieces += state_evidence(state.events, now)
    by_issue: dict[str, list[Evidence]] = {}
    for piece in pieces:
        by_issue.setdefault(piece.issue, []).append(piece)
    rule = _state_rule(state.texts)
    if rule and not any(noisy_or(p.probability for p in each) >= MIN_PROBABILITY for each in by_issue.values()):
        by_issue[rule.issue] = [Evidence(rule.issue, rule.probability, rule.minutes, False, say("state_alone"))]
        rule = None
    named = [_issue(issue, each, rule) for issue, each in by_issue.items()]
    issues = sorted(
        (one for one in named if one.probability >= MIN_PROBABILITY), key=lambda one: (-one.probability, one.issue)
    )
    undated = sum(event.undated and bool(event.rules) for event in (*events, *state.events))
    notes = (say("events_undated", events=undated),) if undated else ()
    return IssueOutlook(tuple(issues), actions_for(issues), notes)


def actions_for(issues: Iterable[PredictedIssue]) -> tuple[str, ...]:
    """Actions of issues in their order, without repeats; none of those that only suppressed alerts suggest."""
    return tuple(dict.fromkeys(action for one in issues if not one.suppressed for action in ACTIONS.get(one.issue, ())))


def with_times(samples: Sequence[Sample], now: datetime) -> list[Sample]:
    """All samples; one without a time gets the present one if others of its name have a time."""
    timed = {sample.name for sample in samples if sample.time is not None}
    return [replace(sample, time=now) if sample.time is None and sample.name in timed else sample for sample in samples]


def _issue(issue: str, pieces: list[Evidence], state: StateRule | None) -> PredictedIssue:
    surest = sorted(pieces, key=lambda piece: -piece.probability)
    timing = next((piece for piece in surest if piece.measured), surest[0])
    together = noisy_or([*(piece.probability for piece in pieces), *([state.support] if state else [])])
    # A state alone does not turn a hardly probable issue into a reported one.
    if noisy_or(piece.probability for piece in pieces) < MIN_PROBABILITY:
        together = 0.0
    return PredictedIssue(
        issue,
        round(min(together, MAX_PROBABILITY), 4),
        duration_text(timing.minutes),
        distinct(piece.reason for piece in surest)[:MAX_REASONS],
        all(piece.suppressed for piece in pieces),
    )


def _of_kind(kind: str, now: datetime) -> list[Evidence]:
    """The evidence of an anomaly's kind, as of an event of now."""
    reason = say("detected", kind=kind)
    return [replace(piece, reason=reason) for piece in event_evidence(read_events([kind], now), now)]


def _state_rule(texts: Iterable[str]) -> StateRule | None:
    """The first (most severe) rule whose words are in a text that does not say that something is over."""
    words = [words_of(text) for text in texts]
    words = [one for one in words if not has_words(ENDED, one)]
    for rule in STATE_RULES:
        if any(has_words(rule.words, one) for one in words):
            return rule
    return None


def _above_measured(measured: list[Evidence], detected: list[list[Evidence]]) -> list[Evidence]:
    """Per issue the strongest detected piece, reduced so that a noisy-or with the measured one gives the larger one."""
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
