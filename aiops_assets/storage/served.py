"""Served directories: ``<root>/<name>/<version>/`` with model file, manifest and signature, and the champion record.

Whoever can write below the root can put any file there. So a version is one of ours only if an accepted key signed its
manifest, which names the digests of its files; each file is read only if it is a regular one of a bounded size.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from pydantic import ValidationError

from aiops_assets.errors import ConflictError, IntegrityError, NotFoundError
from aiops_assets.storage.champion_record import MAX_RECORD_BYTES, ChampionRecords
from aiops_assets.storage.current_link import CURRENT as CURRENT
from aiops_assets.storage.current_link import link_target, replace_link
from aiops_assets.storage.digests import digest_of, read_hashed
from aiops_assets.storage.records import (
    ChampionMove,
    ChampionRecord,
    EvaluationRecord,
    FileState,
    Manifest,
    Signature,
    sha256,
)
from aiops_assets.storage.signatures import SIGN, Keys
from aiops_assets.storage.storage import Storage

MANIFEST = "manifest.json"
SIGNATURE = "manifest.json.sig"
"""Signature of the manifest, beside it: it goes wherever the version's directory is copied or mounted."""
MAX_SIGNATURE_BYTES = 4096
MAX_MODEL_BYTES = 2**30
"""Largest file of a version that is read; the largest of ours has some 30 MB."""
MODEL_FILE = "model.joblib"
"""The only name that both KServe's scikit-learn server and MLServer load; there must be no second pickle."""
EVALUATIONS = "evaluations"
CLAIM_ATTEMPTS = 20


class ServedModels:
    """The served directories below one root.

    Attributes:
        storage: the root.
        keys: what signs versions and champion records, and what their signatures are checked with.
    """

    def __init__(self, storage: Storage, keys: Keys) -> None:
        self.storage = storage
        self.keys = keys
        self._records = ChampionRecords(storage, keys)

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
        """Commit a new version directory: the files, the signature, and last the manifest made for its number.

        Args:
            name: model name.
            files: file name -> content.
            manifest: (version, sha256 of each file) -> the manifest to write.
            after: the highest number known elsewhere: a number is never given twice.

        Raises:
            ConflictError: other writers took every number tried.
            SettingsError: there is no private key to sign with, or it cannot be used; nothing was written.
            StoreError: the directory cannot be written; nothing is left behind.
        """
        digests = {path: sha256(data) for path, data in files.items()}
        for _ in range(CLAIM_ATTEMPTS):
            numbers = [int(entry) for entry in self.storage.names(name) if entry.isdigit()]
            made = manifest(max([after, *numbers]) + 1, digests)
            content = made.to_bytes()
            signature = self.keys.sign("manifest", content).to_bytes()
            try:
                self.storage.commit_directory(
                    f"{name}/{made.version}", {**files, SIGNATURE: signature, MANIFEST: content}, last=MANIFEST
                )
            except ConflictError:
                continue
            return made
        raise ConflictError(f"{self.locate(name)}: {CLAIM_ATTEMPTS} version numbers were taken by other writers")

    def locate(self, name: str, version: int | None = None) -> str:
        """Path or URL of a model's directory, or of one version: KServe's ``storageUri`` ends like this."""
        return self.storage.locate(name if version is None else f"{name}/{version}")

    def manifest(self, name: str, version: int, expected_sha256: str | None = None) -> Manifest:
        """A version's manifest, signed and compared with the digest recorded outside its directory, if one is given.

        Without a digest the manifest is only for people to look at: anybody may have written it.

        Raises:
            NotFoundError: there is no such version.
            IntegrityError: the file is not a valid manifest of this version, its digest is not the recorded one, or it
                was not signed by an accepted key.
        """
        manifest, data = self._read_manifest(name, version, expected_sha256)
        if expected_sha256 is not None:
            self._check_signature(name, version, data)
        return manifest

    def manifest_sha256(self, name: str, version: int) -> str:
        """SHA-256 of a version's manifest, to be recorded outside its directory."""
        return sha256(self._manifest_bytes(name, version))

    def signed_by(self, name: str, version: int) -> str:
        """Id of the key that signed a version's manifest.

        Raises:
            NotFoundError: there is no such version.
            IntegrityError: no accepted key did; see :meth:`Keys.check`.
        """
        return self._check_signature(name, version, self._manifest_bytes(name, version)).key

    def sign(self, name: str, version: int, manifest_sha256: str) -> None:
        """Sign a version that a person decided to trust: its manifest has this digest, and its files those named in it.

        Raises:
            NotFoundError: there is no such version.
            IntegrityError: the manifest or a file differs; nothing was signed.
            SettingsError: there is no private key, or it cannot be used.
        """
        self.whole(name, version, manifest_sha256)
        data = self._read_manifest(name, version, manifest_sha256)[1]
        self.storage.write(f"{name}/{version}/{SIGNATURE}", self.keys.sign("manifest", data).to_bytes())

    def whole(self, name: str, version: int, manifest_sha256: str) -> Manifest:
        """A version's manifest, if it has this digest and every file that which it names; signed or not.

        Raises:
            NotFoundError: there is no such version.
            IntegrityError: the manifest or a file differs; the message names it.
        """
        manifest = self._read_manifest(name, version, manifest_sha256)[0]
        broken = [check.path for check in self.check_files(manifest) if not check.verified]
        if broken:
            raise IntegrityError(
                f"{self.locate(name, version)}: {broken[0]} differs from its manifest: not served",
                code="changed_file",
                file=broken[0],
            )
        return manifest

    def check_files(self, manifest: Manifest) -> list[FileState]:
        """Compare each file with the digest that a manifest names."""
        checks = []
        for path, expected in sorted(manifest.files.items()):
            try:
                found = digest_of(self.storage, f"{manifest.name}/{manifest.version}/{path}", MAX_MODEL_BYTES)
            except (NotFoundError, IntegrityError):
                found = ""
            checks.append(FileState(path=path, sha256=expected, verified=found == expected))
        return checks

    def verified(self, name: str, version: int, manifest_sha256: str) -> Manifest:
        """A version's manifest, if it is the recorded one, signed, and every file has the digest that it names.

        Raises:
            NotFoundError: there is no such version.
            IntegrityError: the manifest or a file differs, or it is not signed; the message names it.
        """
        self.manifest(name, version, manifest_sha256)
        return self.whole(name, version, manifest_sha256)

    def files(self, name: str, version: int) -> dict[str, bytes]:
        """All files of a version with its manifest: file name -> content, not verified."""
        folder = f"{name}/{version}"
        return {
            path: read_hashed(self.storage, f"{folder}/{path}", MAX_MODEL_BYTES)[0]
            for path in self.storage.names(folder)
        }

    def load_file(self, name: str, version: int, path: str, manifest_sha256: str) -> bytes:
        """The content of a model file, if manifest and file have the digests recorded for them and the first is signed.

        Raises:
            IntegrityError: the manifest or the file differs, or is not signed; the message names it. Nothing was
                unpickled.
        """
        manifest = self.manifest(name, version, manifest_sha256)
        data, digest = read_hashed(self.storage, f"{name}/{version}/{path}", MAX_MODEL_BYTES)
        if digest != manifest.files.get(path):
            where = self.storage.locate(f"{name}/{version}/{path}")
            raise IntegrityError(
                f"{where} is not the file its manifest names: do not load it", code="changed_file", file=path
            )
        return data

    def champion(self, name: str) -> ChampionRecord | None:
        """The champion record of a model; ``None``: no version is served.

        Raises:
            IntegrityError: the record cannot be read, or no accepted key signed it.
        """
        return self._records.read(name)

    def unsigned_champion(self, name: str) -> ChampionRecord | None:
        """The champion record whoever wrote it, for repairs and for people: see :meth:`champion`."""
        return self._records.read_unsigned(name)

    def sign_champion(self, record: ChampionRecord) -> bool:
        """Sign a record that a person decided to trust, as it was read; whether that changed it.

        Raises:
            ConflictError: it was changed since; nothing was signed.
            SettingsError: there is no private key, or it cannot be used.
        """
        return self._records.sign(record)

    def correct_champion(
        self, wrong: ChampionRecord, version: int, manifest_sha256: str, *, reason: str, who: str
    ) -> tuple[ChampionRecord, str]:
        """Replace the champion of a record that is wrong about it or not signed; see :meth:`ChampionRecords.correct`.

        Raises:
            ConflictError: the record was changed since it was read; nothing was changed.
            NotFoundError, IntegrityError: the version is missing, or differs from its recorded digests.
        """
        manifest = self.verified(wrong.name, version, manifest_sha256)
        return self._records.correct(wrong, _move(manifest, manifest_sha256, reason, who), manifest.files)

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
            data = self.storage.read_own(f"{name}/{EVALUATIONS}/{version}.json", MAX_RECORD_BYTES)
            return EvaluationRecord.model_validate_json(data)
        except (NotFoundError, IntegrityError, ValidationError):
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
        return None if folder is None else link_target(folder)

    def link_current(self, name: str, version: int) -> bool:
        """Point the link ``current`` at a version, where the storage has links; whether that changed anything.

        Raises:
            StoreError: the link cannot be made.
        """
        folder = self.storage.local_path(name)
        if folder is None or self.current(name) == str(version):
            return False
        replace_link(folder, str(version))
        return True

    def _manifest_bytes(self, name: str, version: int) -> bytes:
        return self.storage.read_own(f"{name}/{version}/{MANIFEST}", MAX_RECORD_BYTES)

    def _read_manifest(self, name: str, version: int, expected_sha256: str | None) -> tuple[Manifest, bytes]:
        """A manifest and its bytes, compared with a digest if one is given."""
        path = f"{name}/{version}/{MANIFEST}"
        data = self._manifest_bytes(name, version)
        where = self.storage.locate(path)
        if expected_sha256 is not None and sha256(data) != expected_sha256:
            raise IntegrityError(
                f"{where} is not the manifest that was recorded: do not load it", code="other_manifest", path=path
            )
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
        return manifest, data

    def _check_signature(self, name: str, version: int, manifest: bytes) -> Signature:
        """The signature of these bytes of a manifest. Raises IntegrityError: no accepted key made it."""
        path = f"{name}/{version}/{SIGNATURE}"
        try:
            found = Signature.model_validate_json(self.storage.read_own(path, MAX_SIGNATURE_BYTES))
        except NotFoundError:
            found = None
        except ValidationError:
            raise IntegrityError(
                f"{self.storage.locate(path)} is not a signature: do not load the version; {SIGN} shows what is "
                "recorded of it",
                code="wrong_signature",
                path=path,
            ) from None
        where = self.storage.locate(f"{name}/{version}/{MANIFEST}")
        return self.keys.check("manifest", manifest, found, where)

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
