"""The text of a model card: purpose, origin, quality and weaknesses of a version."""

from collections.abc import Callable, Mapping

from aiops_assets.judging.bootstrap import Difference
from aiops_assets.reporting.cards.markdown import table, text
from aiops_assets.reporting.cards.origin import columns_section, data_section, loading_section, making_section
from aiops_assets.reporting.cards.subject import Subject
from aiops_assets.reporting.reports import report_of
from aiops_assets.reporting.task_report import CardReport


def card_text(
    subject: Subject, intervals: Mapping[str, Difference] | None = None, pictures: tuple[str, ...] = ()
) -> str:
    """The card as Markdown.

    Args:
        subject: the version.
        intervals: figure -> its 95 % interval, of those that are known.
        pictures: file names of the card's pictures.
    """
    manifest, family, kind = subject.manifest, subject.spec.family, report_of(subject.spec).card
    lines = [
        f"# {text(manifest.name)}, version {manifest.version}",
        "",
        f"Purpose: {text(manifest.description)}",
        *[
            "",
            "## Use and limits",
            "",
            family.use,
            "",
            family.limits,
            "",
            "Nothing should be shut down on its word alone.",
        ],
        *_quality(subject, kind, intervals or {}, pictures),
        *["", "## Known weaknesses", "", "Read from the figures above and from its records:", ""],
        *(f"- {text(weakness.text)}" for weakness in kind.weaknesses(subject)),
        *data_section(manifest, subject.training_set, kind.training_facts(subject)),
        *columns_section(manifest),
        *making_section(manifest, subject.evaluation),
        *_refits(subject),
        *loading_section(family, manifest, subject.manifest_sha256, subject.directory),
    ]
    return "\n".join(lines) + "\n"


def _quality(
    subject: Subject, kind: CardReport, intervals: Mapping[str, Difference], pictures: tuple[str, ...]
) -> list[str]:
    evaluation = subject.evaluation
    lines = ["", "## How good it is", ""]
    if evaluation is None:
        lines += ["It was never judged beside another model; these are the figures of its own hold-out.", ""]
    else:
        lines += [
            f"Decision: **{evaluation.decision}**: {text(evaluation.reason)}",
            "",
            f"Judged on {evaluation.when:%Y-%m-%d %H:%M} UTC on the newest fifth of the rows, which its fit never saw: "
            f"{kind.judged_on(subject, evaluation)} Intervals are 95 % ones of a block bootstrap.",
            "",
        ]
    gaps, opponent = subject.gaps, subject.opponent_figures
    rows = [
        [
            text(kind.name(name)),
            kind.shown(name, value) + _interval(name, intervals.get(name), kind.shown),
            kind.shown(name, opponent[name]) if name in opponent else "-",
            f"{kind.signed(name, gaps[name].value)}{_interval(name, gaps[name], kind.signed)}" if name in gaps else "-",
        ]
        for name, value in subject.figures.items()
    ]
    lines += table(["figure", "this version", "opponent", "difference"], [*rows, *kind.further_rows(subject)])
    lines += kind.further_lines(subject)
    for name, caption in kind.captions.items():
        if name in pictures:
            lines += ["", f"![{caption}]({name})"]
    return lines


def _refits(subject: Subject) -> list[str]:
    lines = ["", "## How it is retrained", "", text(subject.spec.family.how_refitted)]
    return [*lines, "", f"This version: {text(subject.manifest.fit)}."] if subject.manifest.fit else lines


def _interval(name: str, found: Difference | None, shown: Callable[[str, float], str]) -> str:
    return f" ({shown(name, found.low)} to {shown(name, found.high)})" if found else ""
