"""Which versions of a model there are, and what is known of each: `aiops models`."""

from datetime import datetime

from aiops_assets.errors import IntegrityError, NotFoundError
from aiops_assets.storage.records import ChampionRecord, Record
from aiops_assets.storage.served import ServedModels

CHAMPION, VETOED, DAMAGED = "champion", "vetoed", "damaged"


class VersionLine(Record):
    """A version, as people compare it with others.

    Attributes:
        state: "champion", "vetoed", "damaged" or empty.
        note: why it is served, who vetoed it, what is damaged.
        figures: name -> figure, of its evaluation, or else of its own hold-out.
        decision, decision_reason: of its newest evaluation; empty when it had none.
        opponent, opponent_figures: what it was compared with, on the same rows: figures of two evaluations are not
            comparable.
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
    """Names of all models with a version below the root, also of those that this code does not train."""
    return [name for name in served.storage.names("") if served.versions(name)]


def version_lines(served: ServedModels, name: str, *, is_marked: bool = True) -> list[VersionLine]:
    """All versions of a model, newest first; without marks where the champion record is not to be believed.

    Raises:
        IntegrityError: the champion record cannot be read, and marks are asked for.
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
