"""What the lock files hold, and what pyproject.toml asks for."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from aiops_assets.settings import PROJECT_ROOT


class Locked(NamedTuple):
    """One distribution of a lock: its version, and the SHA-256 of each file that may be installed."""

    version: str
    digests: frozenset[str]


def locked(name: str) -> dict[str, Locked]:
    """Distributions of the lock file ``name``, by canonical name."""
    found = re.findall(r"^([\w.-]+)==(\S+)((?: \\\n +--hash=sha256:[0-9a-f]{64})*)$", read(name), re.M)
    return {
        canonicalize_name(one): Locked(version, frozenset(re.findall(r"[0-9a-f]{64}", digests)))
        for one, version, digests in found
    }


def requirements_of(extras: Iterable[str]) -> list[Requirement]:
    """Direct dependencies of the package with ``extras``, and of its build."""
    project = pyproject()["project"]
    own = canonicalize_name(project["name"])
    found = [Requirement(line) for line in (*project["dependencies"], *pyproject()["build-system"]["requires"])]
    for extra in extras:
        for line in project["optional-dependencies"][extra]:
            requirement = Requirement(line)
            if canonicalize_name(requirement.name) == own:
                found += requirements_of(requirement.extras)
            else:
                found.append(requirement)
    return found


def unmet(requirements: Iterable[Requirement], lock: Mapping[str, Locked]) -> list[str]:
    """Those requirements that the lock lacks, or holds in another version than they allow, or without a digest."""

    def met(requirement: Requirement) -> bool:
        entry = lock.get(canonicalize_name(requirement.name))
        return entry is not None and bool(entry.digests) and requirement.specifier.contains(entry.version)

    return sorted({str(one) for one in requirements if not met(one)})


def missing_from_lock(extras: Iterable[str], lock: Mapping[str, Locked]) -> list[str]:
    """What an install of the package with ``extras`` would not find in the lock."""
    return unmet(requirements_of(extras), lock)


def constraints() -> list[Requirement]:
    return [Requirement(line) for line in read("constraints.txt").splitlines() if line and not line.startswith("#")]


@cache
def pyproject() -> dict[str, Any]:
    return tomllib.loads(read("pyproject.toml"))


def read(name: str) -> str:
    return (PROJECT_ROOT / name).read_text()
