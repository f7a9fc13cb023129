"""Served directories: ``<root>/<name>/<version>/`` with one model file and its manifest, and the champion record."""

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from aiops_assets.errors import ConflictError, IntegrityError, NotFoundError
from aiops_assets.stores.records import ChampionMove, ChampionRecord, FileState, Manifest, sha256
from aiops_assets.stores.storage import Storage

MANIFEST = "manifest.json"
MODEL_FILE = "model.joblib"
"""The only name that both KServe's scikit-learn server and MLServer load; there must be no second pickle."""
CHAMPION = "champion.json"
CURRENT = "current"
MOST_HISTORY = 100
CLAIM_ATTEMPTS = 20


class ServedModels:
    """The served directories below one root."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def versions(self, name: str) -> list[int]:
        """Versions that are wholly there, in order."""
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
            name: of the model.
            files: file name -> content.
            manifest: (version, sha256 of each file) -> the manifest to write.
            after: the highest number known elsewhere: a number is never given twice.

        Raises:
            ConflictError: other writers took every number tried.
            StoreError: it cannot be written; nothing is left behind.
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
            NotFoundError: no such version.
            IntegrityError: not a manifest, or not the recorded one.
        """
        path = f"{name}/{version}/{MANIFEST}"
        data = self.storage.read(path)
        if expected_sha256 is not None and sha256(data) != expected_sha256:
            raise IntegrityError(f"{self.storage.locate(path)} is not the manifest that was recorded: do not load it")
        try:
            return Manifest.model_validate_json(data)
        except ValidationError as error:
            where = self.storage.locate(path)
            raise IntegrityError(f"{where} is no valid manifest: {error.errors()[0]['msg']}") from None

    def manifest_sha256(self, name: str, version: int) -> str:
        """Digest of a version's manifest, to be recorded outside its directory."""
        return sha256(self.storage.read(f"{name}/{version}/{MANIFEST}"))

    def check_files(self, manifest: Manifest) -> list[FileState]:
        """Re-hash each file that a manifest names."""
        checks = []
        for path, expected in sorted(manifest.files.items()):
            try:
                found = sha256(self.storage.read(f"{manifest.name}/{manifest.version}/{path}"))
            except NotFoundError:
                found = ""
            checks.append(FileState(path=path, sha256=expected, verified=found == expected))
        return checks

    def files(self, name: str, version: int) -> dict[str, bytes]:
        """All files of a version, its manifest among them, as they are."""
        folder = f"{name}/{version}"
        return {path: self.storage.read(f"{folder}/{path}") for path in self.storage.names(folder)}

    def load_file(self, name: str, version: int, path: str, manifest_sha256: str) -> bytes:
        """A model file, only when manifest and file have the digests recorded for them.

        Raises:
            IntegrityError: naming the file that differs. Nothing of it has been unpickled.
        """
        manifest = self.manifest(name, version, manifest_sha256)
        data = self.storage.read(f"{name}/{version}/{path}")
        if sha256(data) != manifest.files.get(path):
            where = self.storage.locate(f"{name}/{version}/{path}")
            raise IntegrityError(f"{where} is not the file its manifest names: do not load it")
        return data

    def champion(self, name: str) -> ChampionRecord | None:
        """Which version is served, or ``None``.

        Raises:
            IntegrityError: the record cannot be read.
        """
        return self._champion(name)[1]

    def move_champion(
        self, name: str, version: int, manifest_sha256: str, *, reason: str, who: str, seen: int | None
    ) -> ChampionRecord:
        """Serve another version from now on.

        Args:
            name: of the model.
            version: must be wholly there.
            manifest_sha256: of the manifest that was judged.
            reason, who: for the record.
            seen: the version that was champion when the decision was made.

        Raises:
            ConflictError: somebody moved it meanwhile; nothing was changed.
            NotFoundError: no such version.
            IntegrityError: it is not, or not wholly, what was judged.
        """
        manifest = self.manifest(name, version, manifest_sha256)
        broken = [check.path for check in self.check_files(manifest) if not check.verified]
        if broken:
            raise IntegrityError(f"{self.locate(name, version)}: {broken[0]} differs from its manifest: not served")
        content, record = self._champion(name)
        found = record.champion.version if record else None
        if found != seen:
            raise ConflictError(f"{name}: champion is version {found}, was {seen} when this was decided: decide again")
        move = ChampionMove(
            version=version,
            manifest_sha256=manifest_sha256,
            data_version=manifest.data_version,
            effective_source=manifest.effective_source,
            reason=reason,
            who=who,
            when=datetime.now(UTC),
        )
        history = (record.champion, *record.history)[:MOST_HISTORY] if record else ()
        moved = ChampionRecord(name=name, champion=move, history=history)
        self.storage.compare_and_swap(f"{name}/{CHAMPION}", content, moved.to_bytes())
        return moved

    def sweep(self, name: str) -> None:
        """Remove what killed writers left beside the versions of a model."""
        self.storage.sweep(name)

    def link_current(self, name: str, version: int) -> bool:
        """Let ``current`` beside the versions point at one, where the storage has links; whether it changed.

        For people and local tools: derived from the champion record, never read by this package.
        """
        folder = self.storage.local_path(name)
        if folder is None:
            return False
        link = folder / CURRENT
        if link.is_symlink() and link.readlink() == Path(str(version)):
            return False
        temporary = folder / f".{CURRENT}.{os.getpid()}.tmp"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(str(version))
        temporary.replace(link)
        return True

    def _champion(self, name: str) -> tuple[bytes | None, ChampionRecord | None]:
        path = f"{name}/{CHAMPION}"
        try:
            content = self.storage.read(path)
        except NotFoundError:
            return None, None
        try:
            return content, ChampionRecord.model_validate_json(content)
        except ValidationError as error:
            where = self.storage.locate(path)
            raise IntegrityError(f"{where} is no valid champion record: {error.errors()[0]['msg']}") from None
