"""The text of a model card: its template, filled with what is known of a version."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING

from aiops_assets.judging.bootstrap import Difference
from aiops_assets.reporting.cards import markdown, origin
from aiops_assets.reporting.cards.markdown import text
from aiops_assets.reporting.cards.subject import Subject
from aiops_assets.reporting.reports import report_of
from aiops_assets.reporting.task_report import CardReport

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATE = "card.md.j2"


@cache
def template() -> "Template":
    """The template; a name that it misses is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined  # at the first card, not with the code location

    environment = Environment(  # noqa: S701 - Markdown, whose escapes are filters of their own
        loader=PackageLoader("aiops_assets.reporting", "cards"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"text": markdown.text, "code": markdown.code, "repr": repr}
    return environment.get_template(TEMPLATE)


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
    evaluation, training_set = subject.evaluation, subject.training_set
    return template().render(
        manifest=manifest,
        family=family,
        evaluation=evaluation,
        judged_on=kind.judged_on(subject, evaluation) if evaluation else "",
        figures=[*_figures(subject, kind, intervals or {}), *kind.further_rows(subject)],
        further_lines=kind.further_lines(subject),
        pictures=[(name, caption) for name, caption in kind.captions.items() if name in pictures],
        weaknesses=kind.weaknesses(subject),
        training_set=training_set,
        data=origin.data_facts(manifest, training_set, kind.training_facts(subject)),
        queries=origin.queries(training_set),
        columns=origin.columns(manifest),
        making=origin.making_facts(manifest, evaluation),
        directory=subject.directory,
        folder=origin.folder_to_load_from(subject.directory),
        digests={"manifest.json": subject.manifest_sha256, **manifest.files},
        loading=origin.loading_lines(family, manifest),
    )


def _figures(subject: Subject, kind: CardReport, intervals: Mapping[str, Difference]) -> list[list[str]]:
    """Rows of figure, this version, opponent, difference."""
    gaps, opponent = subject.gaps, subject.opponent_figures
    return [
        [
            text(kind.name(name)),
            kind.shown(name, value) + _interval(name, intervals.get(name), kind.shown),
            kind.shown(name, opponent[name]) if name in opponent else "-",
            f"{kind.signed(name, gaps[name].value)}{_interval(name, gaps[name], kind.signed)}" if name in gaps else "-",
        ]
        for name, value in subject.figures.items()
    ]


def _interval(name: str, found: Difference | None, shown: Callable[[str, float], str]) -> str:
    return f" ({shown(name, found.low)} to {shown(name, found.high)})" if found else ""
