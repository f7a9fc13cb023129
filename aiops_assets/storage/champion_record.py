"""The champion record ``<root>/<name>/champion.json``: read, moved by compare-and-swap, renewed when it is damaged.

Each writer signs it, and whoever acts on it checks the signature: an edited record decides nothing.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from pydantic import ValidationError

from aiops_assets.errors import ConflictError, IntegrityError, NotFoundError
from aiops_assets.judging.decision import Reason
from aiops_assets.storage.records import ChampionMove, ChampionRecord, Veto, signed_bytes
from aiops_assets.storage.signatures import Keys
from aiops_assets.storage.storage import Storage

CHAMPION = "champion.json"
MAX_HISTORY = 100
MAX_VETOES = 100
MAX_RECORD_BYTES = 16 * 2**20
"""Largest file of a champion record, a manifest or an evaluation, bytes. A champion record with the longest history and
all vetoes has 100 kB."""

FilesOf = Callable[[ChampionMove, str], dict[str, str]]


class ChampionRecords:
    """Reads and writes the champion records of all models below one root, without a look at version directories."""

    def __init__(self, storage: Storage, keys: Keys) -> None:
        self.storage = storage
        self.keys = keys

    def read(self, name: str) -> ChampionRecord | None:
        """The record, ``None`` when there is none.

        Raises:
            IntegrityError: the file is not a valid record, it is the record of another model, or it was not signed by
                an accepted key.
        """
        return self._signed(name)[1]

    def read_unsigned(self, name: str) -> ChampionRecord | None:
        """The record whoever wrote it, for repairs and for people; nothing is served or loaded by it.

        Raises:
            IntegrityError: the file is not a valid record, or it is the record of another model.
        """
        return self._read(name)[1]

    def sign(self, record: ChampionRecord) -> bool:
        """Sign a record as it is, because a person decided to trust it; whether that changed anything.

        Args:
            record: the record as it was read.

        Raises:
            ConflictError: the record was changed since it was read; nothing was changed.
            SettingsError: there is no private key, or it cannot be used.
        """
        content, found = self._read(record.name)
        if content is None or found != record:
            raise _lost(record.name, found, record.champion.version)
        signed = self._with_signature(record)
        if signed == record:
            return False
        self.storage.compare_and_swap(self._path(record.name), content, signed.to_bytes())
        return True

    def move(
        self,
        name: str,
        move: ChampionMove,
        files: Mapping[str, str],
        *,
        seen: int | None,
        by_hand: bool,
        veto_seen: FilesOf | None,
    ) -> ChampionRecord:
        """Record a move of the champion, unless another writer moved it first.

        Args:
            name: model name.
            move: the move to record; it names the new champion.
            files: model file -> sha256 of the new champion; vetoes are matched by them.
            seen: the version that was champion when this was decided; ``None``: there was no champion.
            by_hand: a person decided, which lifts a veto on the version.
            veto_seen: returns the files of the replaced champion, which is then vetoed; ``None``: no veto.

        Raises:
            ConflictError: another version is champion by now, or the version is vetoed; nothing was changed.
            IntegrityError: the present record is not valid or not signed; nothing was changed.
        """
        content, record = self._signed(name)
        if (record.champion.version if record else None) != seen:
            raise _lost(name, record, seen)
        if record is None:
            moved = ChampionRecord(name=name, champion=move)
        else:
            veto = record.veto_on(move.version, files)
            if veto and not by_hand:
                reason = vetoed(name, move.version, veto)
                raise ConflictError(reason.text, code=reason.code, **reason.facts)
            kept = record.without_veto_on(move.version, files)
            if veto_seen:
                left = record.champion
                theirs = veto_seen(left, name)
                # A veto by files would also hit the new champion if both versions have equal files.
                veto = _veto(left, {} if theirs == dict(files) else theirs, move)
                kept = (veto, *(other for other in kept if other.version != left.version))
            history = (record.champion, *record.history)[:MAX_HISTORY]
            moved = ChampionRecord(name=name, champion=move, history=history, vetoed=kept[:MAX_VETOES])
        moved = self._with_signature(moved)
        try:
            self.storage.compare_and_swap(self._path(name), content, moved.to_bytes())
        except ConflictError:
            raise _lost(name, self.read(name), seen) from None
        return moved

    def renew(self, name: str, move: ChampionMove) -> tuple[ChampionRecord, str]:
        """Replace a missing or unreadable record by one without history; an unreadable file is kept aside.

        Returns:
            The record, and the name of the file that keeps the damaged one (empty: it was missing).

        Raises:
            ConflictError: there is a readable record; nothing was changed.
        """
        content: bytes | None = None
        aside = ""
        try:
            content = self._content(name)
            found = self.read_unsigned(name)
        except NotFoundError:
            found = None
        except IntegrityError:
            found = None
            aside = _aside()
        if found:
            raise ConflictError(
                f"{name}: the champion record can be read, written by {_author(found.champion)}",
                code="readable_record",
                who=found.champion.who,
            )
        if aside and content is not None:
            self.storage.write(f"{name}/{aside}", content)
        record = self._with_signature(ChampionRecord(name=name, champion=move))
        self.storage.compare_and_swap(self._path(name), content, record.to_bytes())
        return record, aside

    def correct(
        self, wrong: ChampionRecord, move: ChampionMove, files: Mapping[str, str]
    ) -> tuple[ChampionRecord, str]:
        """Replace the champion of a record that is wrong about it; history and vetoes stay, the old file is kept aside.

        Args:
            wrong: the record as it was read.
            move: the right champion. The wrong one was never served and does not enter the history.
            files: model file -> sha256 of the right champion; a veto on them is lifted.

        Returns:
            The record, and the name of the file that keeps the wrong one.

        Raises:
            ConflictError: the record was changed since it was read; nothing was changed.
        """
        content, found = self._read(wrong.name)
        if content is None or found != wrong:
            raise _lost(wrong.name, found, wrong.champion.version)
        aside = _aside()
        self.storage.write(f"{wrong.name}/{aside}", content)
        kept = wrong.without_veto_on(move.version, files)
        record = ChampionRecord(name=wrong.name, champion=move, history=wrong.history, vetoed=kept)
        record = self._with_signature(record)
        self.storage.compare_and_swap(self._path(wrong.name), content, record.to_bytes())
        return record, aside

    def _signed(self, name: str) -> tuple[bytes | None, ChampionRecord | None]:
        content, record = self._read(name)
        if content is not None and record is not None:
            where = self.storage.locate(self._path(name))
            self.keys.check("champion record", signed_bytes(json.loads(content)), record.signature, where)
        return content, record

    def _with_signature(self, record: ChampionRecord) -> ChampionRecord:
        content = signed_bytes(record.model_dump(mode="json"))
        return record.model_copy(update={"signature": self.keys.sign("champion record", content)})

    def _read(self, name: str) -> tuple[bytes | None, ChampionRecord | None]:
        try:
            content = self._content(name)
        except NotFoundError:
            return None, None
        where = self.storage.locate(self._path(name))
        try:
            # By one parser: two could read another value where a name stands twice.
            record = ChampionRecord.model_validate_json(json.dumps(json.loads(content)))
        except ValidationError as error:
            problem = error.errors()[0]["msg"]
        except (ValueError, RecursionError) as error:
            problem = f"Invalid JSON: {error}"
        else:
            problem = ""
        if problem:
            raise IntegrityError(f"{where} is not a valid champion record: {problem}", code="invalid_record")
        if record.name != name:
            raise IntegrityError(
                f"{where} is not a valid champion record of {name}: it is that of {record.name}",
                code="record_of_another",
                of=record.name,
            )
        return content, record

    def _content(self, name: str) -> bytes:
        return self.storage.read_own(self._path(name), MAX_RECORD_BYTES)

    def _path(self, name: str) -> str:
        return f"{name}/{CHAMPION}"


def vetoed(name: str, version: int, veto: Veto) -> Reason:
    """The reason why a run may not serve a version; its text names the command that serves it nevertheless."""
    return Reason(
        "vetoed", name=name, version=version, vetoed=veto.version, who=veto.who, when=veto.when, note=veto.reason
    )


def _aside() -> str:
    return f"{CHAMPION}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"


def _veto(left: ChampionMove, files: dict[str, str], move: ChampionMove) -> Veto:
    return Veto(
        version=left.version,
        manifest_sha256=left.manifest_sha256,
        who=move.who,
        when=move.when,
        reason=move.reason,
        files=files,
    )


def _lost(name: str, found: ChampionRecord | None, seen: int | None) -> ConflictError:
    version, author = (found.champion.version, f": moved by {_author(found.champion)}") if found else (None, "")
    return ConflictError(
        f"{name}: champion is version {version}, was {seen} when this was decided{author}; nothing was changed",
        code="champion_moved",
        version=version,
        seen=seen,
        who=found.champion.who if found else None,
        note=found.champion.reason if found else None,
    )


def _author(move: ChampionMove) -> str:
    return f"{move.who} on {move.when:%Y-%m-%d %H:%M:%S} UTC ({move.reason})"
