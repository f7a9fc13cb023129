"""Served directories: ``<root>/<name>/<version>/`` with a model file and its manifest, and the champion record."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from pydantic import ValidationError

from aiops_assets.errors import ConflictError, IntegrityError, NotFoundError, StoreError
from aiops_assets.storage.champion_record import ChampionRecords
from aiops_assets.storage.digests import digest_of, read_hashed
from aiops_assets.storage.records import ChampionMove, ChampionRecord, EvaluationRecord, FileState, Manifest, sha256
from aiops_assets.storage.storage import Storage

MANIFEST = "manifest.json"
MODEL_FILE = "model.joblib"
"""The only name that both KServe's scikit-learn server and MLServer load; there must be no second pickle."""
CURRENT = "current"
EVALUATIONS = "evaluations"
CLAIM_ATTEMPTS = 20


class ServedModels:
    """The served directories below one root."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self._records = ChampionRecords(storage)

    def versions(self, name: str) -> list[int]:
        """Numbers of the versions with a manifest, ascending: these are complete."""
        found = [int(entry) for entry in self.storage.names(name) if entry.isdigit()]
        return sorted(version for version in found if self.storage.exists(f"{name}/{version}/{MANIFEST}"))

    def publish(
        self,
        name: str,
        files: Mapping[str, bytes],
        manifest: Callable[[int, dict[str, str]], Manifest],
        *,
        after: int = 0,
    ) -> Manifest:
        """Commit a new version directory: the files, and last the manifest made for its number.

        Args:
            name: model name.
            files: file name -> content.
            manifest: (version, sha256 of each file) -> the manifest to write.
            after: the highest number known elsewhere: a number is never given twice.

        Raises:
            ConflictError: other writers took every number tried.
            StoreError: the directory cannot be written; nothing is left behind.
        """
        digests = {path: sha256(data) for path, data in files.items()}
        for _ in range(CLAIM_ATTEMPTS):
            numbers = [int(entry) for entry in self.storage.names(name) if entry.isdigit()]
            made = manifest(max([after, *numbers]) + 1, digests)
            try:
                self.storage.commit_directory(
                    f"{name}/{made.version}", {**files, MANIFEST: made.to_bytes()}, last=MANIFEST
                )
            except ConflictError:
                continue
            return made
        raise ConflictError(f"{self.locate(name)}: {CLAIM_ATTEMPTS} version numbers were taken by other writers")

    def locate(self, name: str, version: int | None = None) -> str:
        """Path or URL of a model's directory, or of one version: KServe's ``storageUri`` ends like this."""
        return self.storage.locate(name if version is None else f"{name}/{version}")

    def manifest(self, name: str, version: int, expected_sha256: str | None = None) -> Manifest:
        """A version's manifest, compared with the digest recorded outside its directory if one is given.

        Raises:
            NotFoundError: there is no such version.
            IntegrityError: the file is not a valid manifest of this version, or its digest is not the recorded one.
        """
        path = f"{name}/{version}/{MANIFEST}"
        data = self.storage.read(path)
        if expected_sha256 is not None and sha256(data) != expected_sha256:
            raise IntegrityError(
                f"{self.storage.locate(path)} is not the manifest that was recorded: do not load it",
                code="other_manifest",
                path=path,
            )
        where = self.storage.locate(path)
        try:
            manifest = Manifest.model_validate_json(data)
        except ValidationError as error:
            problem = error.errors()[0]["msg"]
            raise IntegrityError(f"{where} is not a valid manifest: {problem}", code="invalid_manifest") from None
        if (manifest.name, manifest.version) != (name, version):
            raise IntegrityError(
                f"{where} is the manifest of {manifest.name} version {manifest.version}",
                code="misplaced_manifest",
                name=manifest.name,
                version=manifest.version,
            )
        return manifest

    def manifest_sha256(self, name: str, version: int) -> str:
        """SHA-256 of a version's manifest, to be recorded outside its directory."""
        return sha256(self.storage.read(f"{name}/{version}/{MANIFEST}"))

    def check_files(self, manifest: Manifest) -> list[FileState]:
        """Compare each file with the digest that a manifest names."""
        checks = []
        for path, expected in sorted(manifest.files.items()):
            try:
                found = digest_of(self.storage, f"{manifest.name}/{manifest.version}/{path}")
            except NotFoundError:
                found = ""
            checks.append(FileState(path=path, sha256=expected, verified=found == expected))
        return checks

    def verified(self, name: str, version: int, manifest_sha256: str) -> Manifest:
        """A version's manifest, if it is the recorded one and every file has the digest that it names.

        Raises:
            NotFoundError: there is no such version.
            IntegrityError: the manifest or a file differs; the message names it.
        """
        manifest = self.manifest(name, version, manifest_sha256)
        broken = [check.path for check in self.check_files(manifest) if not check.verified]
        if broken:
            raise IntegrityError(
                f"{self.locate(name, version)}: {broken[0]} differs from its manifest: not served",
                code="changed_file",
                file=broken[0],
            )
        return manifest

    def files(self, name: str, version: int) -> dict[str, bytes]:
        """All files of a version with its manifest: file name -> content, not verified."""
        folder = f"{name}/{version}"
        return {path: read_hashed(self.storage, f"{folder}/{path}")[0] for path in self.storage.names(folder)}

    def load_file(self, name: str, version: int, path: str, manifest_sha256: str) -> bytes:
        """The content of a model file, if manifest and file have the digests recorded for them.

        Raises:
            IntegrityError: the manifest or the file differs; the message names it. Nothing was unpickled.
        """
        manifest = self.manifest(name, version, manifest_sha256)
        data, digest = read_hashed(self.storage, f"{name}/{version}/{path}")
        if digest != manifest.files.get(path):
            where = self.storage.locate(f"{name}/{version}/{path}")
            raise IntegrityError(
                f"{where} is not the file its manifest names: do not load it", code="changed_file", file=path
            )
        return data

    def champion(self, name: str) -> ChampionRecord | None:
        """The champion record of a model; ``None``: no version is served.

        Raises:
            IntegrityError: the record cannot be read.
        """
        return self._records.read(name)

    def move_champion(
        self,
        name: str,
        version: int,
        manifest_sha256: str,
        *,
        reason: str,
        who: str,
        seen: int | None,
        by_hand: bool = False,
        veto_seen: bool = False,
    ) -> ChampionRecord:
        """Serve another version from now on.

        Args:
            name: model name.
            version: the new champion; its directory must be complete.
            manifest_sha256: SHA-256 of the manifest that was judged.
            reason, who: why, and who decided; both are recorded.
            seen: the version that was champion when the decision was made.
            by_hand: a person names this version, which lifts a veto on it.
            veto_seen: veto the replaced champion, with this reason.

        Raises:
            ConflictError: another writer moved the champion, or the version is vetoed; nothing was changed.
            NotFoundError: there is no such version.
            IntegrityError: manifest or files differ from what was judged.
        """
        manifest = self.verified(name, version, manifest_sha256)
        move = _move(manifest, manifest_sha256, reason, who)
        return self._records.move(
            name, move, manifest.files, seen=seen, by_hand=by_hand, veto_seen=self._files_of if veto_seen else None
        )

    def renew_champion(
        self, name: str, version: int, manifest_sha256: str, *, reason: str, who: str
    ) -> tuple[ChampionRecord, str]:
        """Replace a missing or unreadable record by a new one; an unreadable file is kept aside.

        Returns:
            The record, and the name of the file that keeps the damaged one (empty: it was missing).

        Raises:
            ConflictError: there is a readable record; nothing was changed.
            NotFoundError, IntegrityError: the version is missing, or differs from its recorded digests.
        """
        manifest = self.verified(name, version, manifest_sha256)
        return self._records.renew(name, _move(manifest, manifest_sha256, reason, who))

    def put_evaluation(self, record: EvaluationRecord) -> None:
        """Store the newest evaluation of a version beside the version directories, which never change."""
        self.storage.write(f"{record.name}/{EVALUATIONS}/{record.version}.json", record.to_bytes())

    def evaluation(self, name: str, version: int) -> EvaluationRecord | None:
        """The newest evaluation of a version; ``None`` when there is none that this code can read."""
        try:
            return EvaluationRecord.model_validate_json(self.storage.read(f"{name}/{EVALUATIONS}/{version}.json"))
        except (NotFoundError, ValidationError):
            return None

    def remove(self, name: str, version: int) -> None:
        """Remove a version's directory: readers find it complete or not at all."""
        self.storage.remove_directory(f"{name}/{version}", first=MANIFEST)

    def incomplete_versions(self, name: str) -> list[int]:
        """Numbers of directories without a manifest: a writer on a bucket is at work, or a killed one left them."""
        numbers = {int(entry) for entry in self.storage.names(name) if entry.isdigit()}
        return sorted(numbers - set(self.versions(name)))

    def sweep(self, name: str, *, remove: bool = True) -> list[str]:
        """Names of what killed writers left beside the versions of a model; with ``remove`` it is removed."""
        folders = (name, f"{name}/{EVALUATIONS}")
        return [left for folder in folders for left in self.storage.sweep(folder, remove=remove)]

    def current(self, name: str) -> str | None:
        """Target of the local link ``current``; ``None``: no link, empty: the name belongs to something else."""
        folder = self.storage.local_path(name)
        if folder is None or not os.path.lexists(folder / CURRENT):
            return None
        return str((folder / CURRENT).readlink()) if (folder / CURRENT).is_symlink() else ""

    def link_current(self, name: str, version: int) -> bool:
        """Point the link ``current`` at a version, where the storage has links; whether that changed anything.

        The link is for people and local tools: it follows the champion record, and this package never reads it.

        Raises:
            StoreError: the link cannot be made.
        """
        folder = self.storage.local_path(name)
        if folder is None or self.current(name) == str(version):
            return False
        link = folder / CURRENT
        temporary = folder / f".{CURRENT}.{os.getpid()}.tmp"
        try:
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(str(version))
            temporary.replace(link)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise StoreError(
                f"{link} cannot be made a link ({error.strerror}): move away what is there",
                code="no_link",
                path=str(link),
            ) from error
        return True

    def _files_of(self, move: ChampionMove, name: str) -> dict[str, str]:
        """Recorded digests of a version's files; empty when its manifest is missing or damaged."""
        try:
            return self.manifest(name, move.version, move.manifest_sha256).files
        except (NotFoundError, IntegrityError):
            return {}


def _move(manifest: Manifest, manifest_sha256: str, reason: str, who: str) -> ChampionMove:
    return ChampionMove(
        version=manifest.version,
        manifest_sha256=manifest_sha256,
        data_version=manifest.data_version,
        effective_source=manifest.effective_source,
        reason=reason,
        who=who,
        when=datetime.now(UTC),
    )
