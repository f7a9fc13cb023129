"""What `aiops run` says at its end: a table of the models, a verdict in words, and what to do next."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType

from rich.console import Console
from rich.text import Text

from aiops_assets.commands.tables import console, program, show_table
from aiops_assets.datasets.selection import active_models, training_set_name, training_sets_of
from aiops_assets.errors import NotFoundError
from aiops_assets.families.contract import ModelSpec
from aiops_assets.settings import PROJECT_ROOT, Settings
from aiops_assets.storage.handoff import Handoffs, TrainingSetRef
from aiops_assets.storage.served import ServedModels
from aiops_assets.storage.signatures import Keys
from aiops_assets.storage.storage import open_storage

MAX_WARNINGS, MAX_LETTERS = 10, 400
"""Most warnings of checks, and most letters of one, that are printed."""
NO_WARNINGS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Outcome:
    """What a run did about one model.

    Attributes:
        name: name of the model.
        trained: version that the run trained; ``None``: nothing has changed, so fitting was skipped.
        champion: version that is served; ``None``: none.
        reason: why it is served, or why none is. The reason of a person, or of a record of older code, is unchanged.
        rejected: why the version that was trained is not served; empty: it is, or none was trained.
        holdout: the figures of the champion on its hold-out.
    """

    name: str
    trained: int | None
    champion: int | None
    reason: str
    rejected: str = ""
    holdout: str = ""


def outcome_of(served: ServedModels, spec: ModelSpec, before: Sequence[int]) -> Outcome:
    """The outcome for a model that had the versions ``before`` when the run began."""
    from aiops_assets.reporting.reports import report_of

    versions, record = served.versions(spec.name), served.champion(spec.name)
    trained = next((version for version in reversed(versions) if version not in before), None)
    if record is None:
        return Outcome(spec.name, trained, None, _reason(served, spec.name, max(versions, default=0)))
    champion = record.champion
    manifest = served.manifest(spec.name, champion.version, champion.manifest_sha256)
    evaluation = served.evaluation(spec.name, champion.version)
    # Only the evaluation has reason and figures apart, if it is the one that made this version champion.
    apart = evaluation is not None and bool(evaluation.code) and evaluation.reason == champion.reason
    return Outcome(
        spec.name,
        trained,
        champion.version,
        evaluation.head if evaluation and apart else champion.reason,
        _reason(served, spec.name, trained) if trained and trained != champion.version else "",
        report_of(spec).summary(manifest.metrics),
    )


def _reason(served: ServedModels, name: str, version: int) -> str:
    evaluation = served.evaluation(name, version)
    return evaluation.reason if evaluation else "see its evaluation in the UI"


def summarize(
    settings: Settings,
    before: Mapping[str, Sequence[int]],
    run: str = "",
    warnings: Mapping[str, str] = NO_WARNINGS,
) -> None:
    """Print what was trained, what is served and why, how good it is, what is wrong with the data, and what to do next.

    Args:
        settings: settings of the run.
        before: model -> its versions when the run began.
        run: id of the Dagster run; empty: not known.
        warnings: check -> what it found, of those that failed and stopped nothing.
    """
    served = ServedModels(open_storage(settings.model_root), Keys(settings.verify_key_file))
    outcomes = [outcome_of(served, spec, before[spec.name]) for spec in active_models(settings)]
    out = console()
    out.print()
    show_table(("MODEL", "TRAINED", "SERVED", "WHY", "ON ITS HOLD-OUT"), map(_row, outcomes))
    out.print()
    for one in outcomes:
        if one.rejected:
            out.print(Text(f"{one.name}: version {one.trained} was rejected: {one.rejected}"))
    out.print(Text(verdict(outcomes)))
    sources, stated = _data(settings)
    out.print(Text(f"data: {sources}"))
    for warning in stated:
        out.print(Text(f"  warning: {warning}"))
    known = "; ".join(stated)
    show_warnings(out, {check: text for check, text in warnings.items() if text not in known})
    _next_steps(out, outcomes, run)


def show_warnings(out: Console, warnings: Mapping[str, str]) -> None:
    """Print what checks found, each text once, at most :data:`MAX_WARNINGS` and each shortened.

    Args:
        out: where it is printed.
        warnings: check -> what it found, of those that failed and stopped nothing.
    """
    once: dict[str, str] = {}
    for check, text in warnings.items():
        once.setdefault(text, check)
    if once:
        out.print(Text("checks that found something, and stop nothing:"))
    for text, check in list(once.items())[:MAX_WARNINGS]:
        out.print(Text(f"  {check}: {_shortened(text)}"))
    if len(once) > MAX_WARNINGS:
        out.print(Text(f"  and {len(once) - MAX_WARNINGS} more, which the UI shows"))


def _shortened(text: str) -> str:
    """A text of many findings with as many of them, which semicolons part, as are easily read."""
    line = " ".join(text.split())
    if len(line) <= MAX_LETTERS:
        return line
    whole = line[:MAX_LETTERS].rpartition("; ")[0] or line[:MAX_LETTERS].rpartition(" ")[0] or line[:MAX_LETTERS]
    return f"{whole} ..., the UI shows the rest"


def _row(one: Outcome) -> tuple[str, ...]:
    trained = "unchanged" if one.trained is None else f"version {one.trained}"
    served = "nothing" if one.champion is None else f"version {one.champion}"
    return (one.name, trained, served, one.reason, one.holdout)


def verdict(outcomes: Sequence[Outcome]) -> str:
    """The outcomes in one sentence."""
    trained = [one for one in outcomes if one.trained is not None]
    new = [one for one in trained if one.champion == one.trained]
    missing = [one.name for one in outcomes if one.champion is None]
    if trained:
        rejected = len(trained) - len(new)
        text = f"trained {len(trained)} of {len(outcomes)} models: {len(new)} newly served, {rejected} rejected"
    else:
        text = "nothing has changed since the last run, so no model was trained"
    return f"{text}. " + (f"Not served: {', '.join(missing)}." if missing else "Every model is served.")


def _next_steps(out: Console, outcomes: Sequence[Outcome], run: str) -> None:
    aiops = program()
    # In a checkout, the service's packages come with its target.
    serve = "make serve" if (PROJECT_ROOT / "Makefile").is_file() else f"{aiops} serve"
    first = next((one.name for one in outcomes if one.champion is not None), "")
    steps = {
        **({f"{aiops} card {first}": "its figures and known weaknesses"} if first else {}),
        f"{aiops} ui": f"this run, its pictures and checks, http://127.0.0.1:3000/runs/{run}".rstrip("/"),
        serve: "predictions over HTTP, http://127.0.0.1:8080/docs",
    }
    width = max(map(len, steps))
    out.print(Text("next:"))
    for command, text in steps.items():
        out.print(Text(f"  {command.ljust(width)}  {text}"))


def stated_source(settings: Settings) -> str:
    """The source of the newest training sets and what they warn of, in one line."""
    sources, warnings = _data(settings)
    return "; ".join([sources, *warnings])


def _data(settings: Settings) -> tuple[str, list[str]]:
    """The source of the newest training sets, and their warnings, each once."""
    handoffs = Handoffs(open_storage(settings.aiops_home), settings.cluster)
    refs: dict[str, TrainingSetRef] = {}
    for view, source in training_sets_of(active_models(settings)):
        name = training_set_name(view.name, source)
        # A person may have materialized a single model.
        with suppress(NotFoundError):
            refs[name] = handoffs.get(("training_set", name), TrainingSetRef)
    sets: dict[str, list[str]] = {}
    for name, ref in refs.items():
        rows = " and ".join(f"{n:,} {source}" for source, n in ref.source.rows.items())
        sets.setdefault(ref.effective_source, []).append(f"{rows} rows of {name}")
    # Warnings of views of one fetch are the same, except for counts.
    warnings = dict.fromkeys(warning for ref in refs.values() for warning in ref.source.warnings)
    return " and ".join(f"{source} ({', '.join(one)})" for source, one in sets.items()), list(warnings)
