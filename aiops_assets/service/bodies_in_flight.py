"""What bodies of requests may take: values of their JSON, counted as they come in, and memory, of all together."""

import asyncio
from collections.abc import Callable

import numpy as np

CONTAINER = 4
"""How many values an array or object counts as: it takes as much time and memory to make."""
UNCOUNTED_BYTES = 2**16
"""A body up to this size is neither counted nor waits: it cannot hold the process for long."""
PATIENCE_SECONDS = 2.0
"""Longest time that a body waits for others to be done with, seconds."""
_COMMA, _OPENING, _CASE = ord(","), ord("{"), 0x20


def count_values(json: bytes) -> int:
    """About how many values a piece of JSON has, by its commas and brackets, at a gigabyte a second.

    Those within texts are counted too: a text that is full of them counts as more than one.
    """
    found = np.frombuffer(json, np.uint8)
    opened = np.count_nonzero((found | _CASE) == _OPENING)  # [ and { differ by the bit of lower case
    return int(np.count_nonzero(found == _COMMA)) + CONTAINER * int(opened)


class InFlight:
    """Bytes of all bodies that are being received or answered.

    The request that began first may always go on, so that waiting ends: at most one body more than ``most`` is held.

    Args:
        most: most bytes.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: dict[object, int] = {}
        self._total = 0
        self._changed = asyncio.Event()

    @property
    def total(self) -> int:
        """Bytes that are held now."""
        return self._total

    async def hold(self, owner: object, size: int) -> bool:
        """Add ``size`` bytes to those of ``owner``, when there is room; whether there was within the patience."""
        if not self._fits(owner, size):
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await self._until(lambda: self._fits(owner, size))
            except TimeoutError:
                return False
        self._held[owner] = self._held.get(owner, 0) + size
        self._total += size
        return True

    def release(self, owner: object) -> None:
        """Give back all bytes of ``owner``."""
        size = self._held.pop(owner, None)
        if size is not None:
            self._total -= size
            self._changed.set()

    async def _until(self, fits: Callable[[], bool]) -> None:
        while not fits():
            self._changed.clear()
            await self._changed.wait()

    def _fits(self, owner: object, size: int) -> bool:
        return self._total + size <= self._most or next(iter(self._held), owner) is owner
