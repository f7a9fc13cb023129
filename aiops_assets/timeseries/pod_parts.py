"""Pods divided among a fixed number of parts by their names: what is stored of pods is read and written by parts."""

import hashlib
from functools import lru_cache

PARTS = 32


@lru_cache(maxsize=262_144)
def number_of(pod: str) -> int:
    """A number, 0 to 2**64 - 1, that depends on the pod's name alone."""
    return int.from_bytes(hashlib.blake2b(pod.encode(), digest_size=8).digest())


def part_of(pod: str) -> int:
    """The part that a pod is in, from 0 on."""
    return number_of(pod) % PARTS
