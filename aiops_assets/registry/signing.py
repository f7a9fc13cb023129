"""Signs what earlier releases left unsigned, or what an older key signed, because a person trusts it: `aiops sign`.

A signature is an act of trust, so nothing else signs a version that it did not make. What somebody else recorded is
compared and shown; a version that nobody recorded, or that differs from what was recorded, is not signed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from aiops_assets.errors import IntegrityError, NotFoundError
from aiops_assets.registry.restoring import inconsistency, moves_of, read_problem, with_cure
from aiops_assets.storage.records import ChampionRecord
from aiops_assets.storage.served import ServedModels
from aiops_assets.storage.signatures import UNSIGNED
from aiops_assets.tracking.tracker import MANIFEST_TAG, Tracker

State = Literal["signed", "to sign", "now signed", "REFUSED"]


@dataclass(frozen=True)
class Standing:
    """One line of `aiops sign`.

    Attributes:
        model: model name.
        version: version number; 0: the champion record.
        state: whether it is signed with the present key, is to be, was now, or must not be.
        text: for people: who recorded it, or why it is refused.
        code: "signed", "recorded", "older_key", or of what is wrong: "unrecorded", "other_manifest", or an error's.
        facts: values that the text names.
    """

    model: str
    version: int
    state: State
    text: str
    code: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def what(self) -> str:
        """Version or champion record, as people call it."""
        return f"version {self.version}" if self.version else "champion record"


def examine(served: ServedModels, tracker: Tracker, names: Sequence[str]) -> Iterator[Standing]:
    """How each version and champion record of some models stands; nothing is changed.

    Raises:
        SettingsError: a key file cannot be read.
        StoreError: MLflow or the storage cannot be reached.
    """
    away = tracker.absence()
    for name in names:
        tags = {} if away else {one.version: one.tags.get(MANIFEST_TAG, "") for one in tracker.versions(name)}
        problem = read_problem(served, name)
        record = None if problem else served.unsigned_champion(name)
        recorded = {move.version: move.manifest_sha256 for move in reversed(moves_of(record))}
        is_signed = _is_signed(served, name)
        standings = [
            _version(served, name, version, tags, recorded, away, is_signed) for version in served.versions(name)
        ]
        yield from standings
        if problem:
            yield Standing(name, 0, "REFUSED", with_cure(problem), problem.code, problem.facts)
        elif record:
            fit = {one.version for one in standings if one.state != "REFUSED"}
            yield _record(served, tracker, record, fit)


def sign(served: ServedModels, tracker: Tracker, names: Sequence[str]) -> Iterator[Standing]:
    """Sign what :func:`examine` finds fit: first the versions of a model, then its champion record.

    The keys are made if there are none. After a kill, the next call signs what is left.

    Raises:
        SettingsError: there is no private key, or it cannot be used.
        IntegrityError, ConflictError: something was changed since it was examined; what was signed before stays.
    """
    found = list(examine(served, tracker, names))
    if any(one.state == "to sign" for one in found):
        served.keys.make()
    for one in found:
        if one.state != "to sign":
            yield one
            continue
        if one.version:
            served.sign(one.model, one.version, one.facts["digest"])
        else:
            served.sign_champion(one.facts["record"])
        yield Standing(one.model, one.version, "now signed", one.text, one.code, one.facts)


def _version(
    served: ServedModels,
    name: str,
    version: int,
    tags: Mapping[int, str],
    recorded: Mapping[int, str],
    away: str,
    is_record_signed: bool,
) -> Standing:
    def refused(text: str, code: str, **facts: object) -> Standing:
        return Standing(name, version, "REFUSED", text, code, facts)

    move_away = f"move {served.locate(name, version)} away"
    try:
        digest = served.manifest_sha256(name, version)
        try:
            key = served.signed_by(name, version)
            served.verified(name, version, digest)
            if key == served.keys.own or not served.keys.own:
                return Standing(name, version, "signed", f"signed by key {key}", "signed", {"key": key})
            text, code = f"signed by key {key}, an older one of yours", "older_key"
        except IntegrityError as error:
            if error.code not in UNSIGNED:
                raise
            text, code = "", error.code
        tag, known = tags.get(version, ""), recorded.get(version, "")
        for where, theirs in (("MLflow", tag), ("the champion record", known)):
            if theirs and theirs != digest:
                return refused(
                    f"{where} recorded another manifest of it ({theirs[:12]}, here {digest[:12]}): {move_away}",
                    "other_manifest",
                    digest=digest,
                    recorded=theirs,
                )
        # A record that is not signed can be of whoever put the version there.
        if not (tag or (known and (away or is_record_signed)) or code == "older_key"):
            whose = "only a champion record that is not signed names it" if known else "no champion record names it"
            asked = f"MLflow cannot be asked ({away})" if away else "MLflow does not know it"
            return refused(f"nobody recorded it: {asked}, and {whose}: {move_away}", "unrecorded", digest=digest)
        manifest = served.whole(name, version, digest)
    except (NotFoundError, IntegrityError) as error:
        return refused(f"{error}: {move_away}", error.code, **error.facts)
    if not text:
        witnesses = (("MLflow", tag), ("the champion record" if tag else f"the champion record alone ({away})", known))
        who = " and ".join(witness for witness, digest_there in witnesses if digest_there)
        found = {"unsigned": "not signed", "wrong_signature": "its signature is of something else"}
        text = f"{found.get(code, 'signed by a key that is not accepted')}; {who} recorded its manifest"
        code = "recorded"
    origin = f"{manifest.created:%Y-%m-%d %H:%M} UTC, source {manifest.effective_source}, manifest {digest[:12]}"
    facts = {"digest": digest, "in_mlflow": bool(tag), "in_record": bool(known)}
    return Standing(name, version, "to sign", f"{text}; of {origin}", code, facts)


def _is_signed(served: ServedModels, name: str) -> bool:
    try:
        return served.champion(name) is not None
    except IntegrityError:
        return False


def _record(served: ServedModels, tracker: Tracker, record: ChampionRecord, fit: set[int]) -> Standing:
    name, move = record.name, record.champion
    key = record.signature.key if record.signature else ""
    about = f"version {move.version} since {move.when:%Y-%m-%d %H:%M} UTC by {move.who}"
    vetoes = ", ".join(str(veto.version) for veto in record.vetoed)
    facts = {"record": record, "champion": move.version}
    try:
        served.champion(name)
        if key == served.keys.own or not served.keys.own:
            return Standing(name, 0, "signed", f"signed by key {key}: {about}", "signed", {"key": key})
        text, code = f"signed by key {key}, an older one of yours", "older_key"
    except IntegrityError as error:
        if error.code not in UNSIGNED:
            raise
        text, code = "not signed" if error.code == "unsigned" else str(error), error.code
    if problem := inconsistency(served, tracker, record):
        return Standing(name, 0, "REFUSED", with_cure(problem), problem.code, problem.facts)
    if move.version not in fit:
        cure = f"`aiops promote {name} VERSION` serves one that is signed"
        return Standing(name, 0, "REFUSED", f"it names version {move.version}, which is refused: {cure}", code, facts)
    return Standing(name, 0, "to sign", f"{text}: {about}; vetoed: {vetoes or 'none'}", code, facts)
