"""The lock files hold what constraints.txt and pyproject.toml ask for, with digests."""

import re

import pytest
from packaging.requirements import Requirement

from aiops_assets_tests.locks import Locked, constraints, locked, missing_from_lock, read, unmet

LOCKS = ("requirements.lock", "service.lock", "dev.lock", "torch.lock", "deploy/image/requirements.lock")
EVERYTHING = locked("dev.lock") | locked("torch.lock")


def test_every_direct_dependency_is_locked() -> None:
    assert missing_from_lock(("dev", "bench"), EVERYTHING) == []
    first, second = (locked(name) | locked("torch.lock") for name in ("requirements.lock", "service.lock"))
    assert missing_from_lock(("train", "ui", "dg", "build"), first) == []
    assert missing_from_lock(("train", "service", "ui", "dg", "build"), second) == []


def test_what_everybody_installs_is_a_part_of_what_developers_do() -> None:
    first, second, all_of_it = (locked(name) for name in ("requirements.lock", "service.lock", "dev.lock"))
    assert first == {name: second[name] for name in first}
    assert second == {name: all_of_it[name] for name in second}
    assert not {"pytest", "mypy", "ruff", "playwright", "sphinx"} & set(second)
    assert "numba" not in first


def test_every_constraint_is_locked_as_it_says() -> None:
    assert unmet(constraints(), EVERYTHING) == []


def test_torch_is_of_the_index_of_its_own() -> None:
    assert list(locked("torch.lock")) == ["torch"]
    assert not any(name == "torch" or name.startswith("nvidia-") for name in locked("dev.lock"))


@pytest.mark.parametrize("name", LOCKS)
def test_every_line_is_of_a_distribution_with_digests(name: str) -> None:
    entries = locked(name)
    lines = [line for line in read(name).splitlines() if line and not line.lstrip().startswith("#")]
    assert len(lines) == sum(1 + len(entry.digests) for entry in entries.values())
    assert all(entry.digests for entry in entries.values())


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_index_and_no_folder(name: str) -> None:
    assert not re.search(r"://|--(extra-)?index-url|--find-links|^-|file:", read(name), re.M)


@pytest.mark.parametrize(
    ("lock", "expected"),
    [
        ({"numpy": Locked("2.4.6", frozenset("a"))}, []),
        ({}, ["numpy>=2.0"]),
        ({"numpy": Locked("1.26", frozenset("a"))}, ["numpy>=2.0"]),
        ({"numpy": Locked("2.4.6", frozenset())}, ["numpy>=2.0"]),
    ],
)
def test_what_is_absent_too_old_or_without_digest_is_named(lock: dict[str, Locked], expected: list[str]) -> None:
    assert unmet([Requirement("numpy>=2.0")], lock) == expected
