"""A version's directory by itself: mounted for a predictor, or copied from MLflow."""

from pathlib import PurePosixPath

from typing_extensions import override

from aiops_assets.storage.storage import LocalStorage


class MountedVersion(LocalStorage):
    """A version's directory with the paths that it has below a model root, read-only."""

    @override
    def read(self, path: str) -> bytes:
        return super().read(PurePosixPath(path).name)

    @override
    def read_own(self, path: str, most: int) -> bytes:
        return super().read_own(PurePosixPath(path).name, most)

    @override
    def signature(self, path: str) -> str:
        return super().signature(PurePosixPath(path).name)

    @override
    def locate(self, path: str) -> str:
        return super().locate(PurePosixPath(path).name)
