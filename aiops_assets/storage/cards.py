"""Model cards: ``<root>/<name>/cards/<version>/card.md`` and its pictures, beside the version directories.

A version directory never changes, and a card is written anew at each evaluation, so cards lie in a folder of their
own. Its name is not a number, so it is not taken for a version; a KServe ``storageUri`` names a version's directory.
Cards of versions that were retired stay: they are small, and document what was once served.
"""

from collections.abc import Mapping

from aiops_assets.errors import NotFoundError
from aiops_assets.storage.storage import Storage

CARDS, CARD = "cards", "card.md"


class Cards:
    """The cards below one model root."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def put(self, name: str, version: int, files: Mapping[str, bytes]) -> None:
        """Write a card: first the pictures, then the text that shows them; pictures not in ``files`` are removed.

        Args:
            name, version: model name and version number.
            files: file name -> content, with ``card.md``.
        """
        folder = self._folder(name, version)
        for path in sorted(files, key=lambda path: path == CARD):
            self.storage.write(f"{folder}/{path}", files[path])
        for path in self.storage.names(folder):
            if path.endswith(".png") and path not in files:
                self.storage.remove(f"{folder}/{path}")
        self.storage.sweep(folder)

    def text(self, name: str, version: int) -> str:
        """The Markdown text of a card.

        Raises:
            NotFoundError: the version has no card.
        """
        try:
            return self.storage.read(f"{self._folder(name, version)}/{CARD}").decode()
        except NotFoundError:
            known = ", ".join(map(str, self.versions(name))) or "none"
            raise NotFoundError(
                f"{name} version {version} has no card (versions with one: {known}): `aiops run` writes that of the "
                "newest version",
                code="no_card",
                version=version,
                there=self.versions(name),
            ) from None

    def versions(self, name: str) -> list[int]:
        """Numbers of the versions that have a card, ascending."""
        found = [int(entry) for entry in self.storage.names(f"{name}/{CARDS}") if entry.isdigit()]
        return sorted(version for version in found if self.storage.exists(f"{self._folder(name, version)}/{CARD}"))

    def locate(self, name: str, version: int) -> str:
        """Path or URL of a card, for people."""
        return self.storage.locate(f"{self._folder(name, version)}/{CARD}")

    def _folder(self, name: str, version: int) -> str:
        return f"{name}/{CARDS}/{version}"
