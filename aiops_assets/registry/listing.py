"""Lists the versions of a model with their figures and states: `aiops models`."""

from datetime import datetime

from aiops_assets.errors import IntegrityError, NotFoundError
from aiops_assets.storage.records import ChampionRecord, Record
from aiops_assets.storage.served import ServedModels

CHAMPION, VETOED, DAMAGED = "champion", "vetoed", "damaged"


class VersionLine(Record):
    """A version, as people compare it with others.

    Attributes:
        state: "champion", "vetoed", "damaged" or empty.
        note: why it is served, who vetoed it, or what is damaged.
        figures: name -> figure, from its evaluation, or from the hold-out of its fit where there is none.
        decision, decision_reason: decision of its newest evaluation; empty when it had none.
        opponent, opponent_figures: its opponent on the same rows; figures of two evaluations are not comparable.
    """

    version: int
    state: str
    note: str = ""
    created: datetime | None = None
    effective_source: str = ""
    data_version: str = ""
    figures: dict[str, float] = {}
    decision: str = ""
    decision_reason: str = ""
    opponent: str = ""
    opponent_figures: dict[str, float] = {}
    directory: str = ""


def names_served(served: ServedModels) -> list[str]:
    """Names of all models with a version below the root, also of those that this code does not know."""
    return [name for name in served.storage.names("") if served.versions(name)]


def version_lines(served: ServedModels, name: str, *, is_marked: bool = True) -> list[VersionLine]:
    """All versions of a model, newest first.

    ``is_marked``: mark the champion and vetoed versions, which needs a right champion record.

    Raises:
        IntegrityError: ``is_marked``, and the champion record cannot be read.
    """
    record = served.champion(name) if is_marked else None
    return [_line(served, record, name, version) for version in reversed(served.versions(name))]


def _line(served: ServedModels, record: ChampionRecord | None, name: str, version: int) -> VersionLine:
    champion = record.champion if record and record.champion.version == version else None
    try:
        manifest = served.manifest(name, version, champion.manifest_sha256 if champion else None)
    except (IntegrityError, NotFoundError) as error:
        return VersionLine(version=version, state=DAMAGED, note=str(error), directory=served.locate(name, version))
    veto = record.veto_on(version, manifest.files) if record else None
    state, note = "", ""
    if champion:
        state, note = CHAMPION, f"since {champion.when:%Y-%m-%d %H:%M} UTC by {champion.who}: {champion.reason}"
    elif veto:
        state, note = VETOED, f"on {veto.when:%Y-%m-%d %H:%M} UTC by {veto.who}: {veto.reason}"
    evaluation = served.evaluation(name, version)
    return VersionLine(
        version=version,
        state=state,
        note=note,
        created=manifest.created,
        effective_source=manifest.effective_source,
        data_version=manifest.data_version,
        figures=evaluation.figures if evaluation else manifest.metrics,
        decision=evaluation.decision if evaluation else "",
        decision_reason=evaluation.reason if evaluation else "",
        opponent=evaluation.opponent if evaluation else "",
        opponent_figures=evaluation.opponent_figures if evaluation else {},
        directory=served.locate(name, version),
    )
