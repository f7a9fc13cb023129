"""Sources of versions for a pool: the champion of the record, or a mounted version.

A pool polls its source. Versions are compared with the champion record, which has their digests outside of their own
directories; both are signed, and a process that serves has the public keys alone.
"""

from pathlib import Path
from typing import Protocol

import structlog
from pydantic import ValidationError
from typing_extensions import override

from aiops_assets.errors import IntegrityError, NotFoundError, ServiceNotReady, StoreError
from aiops_assets.storage.champion_record import MAX_RECORD_BYTES, vetoed
from aiops_assets.storage.mounted import MountedVersion
from aiops_assets.storage.records import ChampionMove, ChampionRecord, Manifest, sha256
from aiops_assets.storage.served import MANIFEST, ServedModels

NOTHING = "nothing is served yet: run `aiops run`"

log = structlog.get_logger("aiops.service")


class VersionSource(Protocol):
    """The source of a pool's versions.

    Attributes:
        served: store with the files of the versions that :meth:`wanted` names.
    """

    served: ServedModels

    def wanted(self, name: str) -> ChampionMove:
        """The version to serve now, as an entry of the champion record.

        Raises:
            ServiceNotReady: there is none yet.
            StoreError: the version cannot be determined; the message says why.
        """


class ChampionSource(VersionSource):
    """The champions below a model root, as promotions and rollbacks move them."""

    def __init__(self, served: ServedModels) -> None:
        self.served = served

    @override
    def wanted(self, name: str) -> ChampionMove:
        try:
            record = self.served.champion(name)
        except StoreError as error:
            raise StoreError(f"its champion record cannot be read: {error}", code="unreadable_record") from error
        if record is None:
            raise ServiceNotReady(NOTHING, code="no_champion")
        return record.champion


class MountedSource(VersionSource):
    """A mounted directory of one version: always that version, whatever is champion.

    Args:
        directory: directory with manifest and model file, which is only read.
        root: the model root, with the champion record of each model.
    """

    def __init__(self, directory: Path, root: ServedModels) -> None:
        self.served = ServedModels(MountedVersion(directory), root.keys)
        self._root = root
        self._wanted: ChampionMove | None = None

    @override
    def wanted(self, name: str) -> ChampionMove:
        """The result is kept: another version needs another directory and process.

        Raises:
            NotFoundError: the directory has no manifest, or there is no champion record.
            IntegrityError: the manifest belongs to another model, was changed, or is of a version that the record does
                not know.
        """
        if self._wanted is None:
            self._wanted = self._recorded(name)
        return self._wanted

    def _recorded(self, name: str) -> ChampionMove:
        where = self.served.storage.locate(MANIFEST)
        digest, manifest = self._manifest(where)
        if manifest.name != name:
            raise IntegrityError(
                f"{where} is the manifest of {manifest.name}, not of {name}: mount another directory",
                code="other_model",
                found=manifest.name,
                expected=name,
            )
        record = self._root.champion(name)
        if record is None:
            raise NotFoundError(
                f"{self._root.locate(name)} holds no champion record, which has the digest of version "
                f"{manifest.version}: mount the whole model root and let MODEL_ROOT name it",
                code="no_record",
                name=name,
                version=manifest.version,
            )
        known = [move for move in (record.champion, *record.history) if move.version == manifest.version]
        if not known:
            raise IntegrityError(
                f"version {manifest.version} of {where} is not in the champion record (never champion, too long ago, "
                f"or the record was renewed): `aiops promote {name} {manifest.version}`, or mount one that is in it, "
                "and restart the process if the record was copied before (predictors on KServe read a copy made at "
                "their pod's start: delete the pod)",
                code="not_in_record",
                name=name,
                version=manifest.version,
            )
        move = next((move for move in known if move.manifest_sha256 == digest), None)
        if move is None:
            raise IntegrityError(
                f"{where} is not the manifest that was recorded: do not load it", code="other_manifest", path=where
            )
        _log_veto(record, manifest)
        return move

    def _manifest(self, where: str) -> tuple[str, Manifest]:
        """The manifest's digest and the manifest of the directory."""
        try:
            data = self.served.storage.read_own(MANIFEST, MAX_RECORD_BYTES)
            return sha256(data), Manifest.model_validate_json(data)
        except NotFoundError:
            raise NotFoundError(
                f"{where} does not exist: mount a version's directory, <MODEL_ROOT>/<name>/<n>",
                code="no_manifest",
                path=where,
            ) from None
        except ValidationError as error:
            problem = error.errors()[0]["msg"]
            raise IntegrityError(
                f"{where} is not a valid manifest: {problem}", code="invalid_manifest", path=where
            ) from None


def _log_veto(record: ChampionRecord, manifest: Manifest) -> None:
    """Log a veto on the mounted version, which only applies to runs, not to a person's choice."""
    if veto := record.veto_on(manifest.version, manifest.files):
        log.warning("a vetoed version is mounted", problem=vetoed(record.name, manifest.version, veto).text)
