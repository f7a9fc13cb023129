"""The version stands in one place, and the changelog tells of it."""

import re
from datetime import date

from packaging.version import Version

from aiops_assets import __version__
from aiops_assets.settings import PROJECT_ROOT
from aiops_assets_tests.locks import pyproject

HEADINGS = re.findall(r"^## (.*)$", (PROJECT_ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
RELEASES = [re.fullmatch(r"\[([0-9.]+)] - (\d{4}-\d\d-\d\d)", heading) for heading in HEADINGS[1:]]


def test_the_package_is_the_newest_release_of_the_changelog() -> None:
    assert HEADINGS[0] == "[Unreleased]"
    assert RELEASES[0] is not None
    assert RELEASES[0][1] == __version__


def test_releases_of_the_changelog_are_in_order_and_dated() -> None:
    versions = [Version(release[1]) for release in RELEASES if release]
    days = [date.fromisoformat(release[2]) for release in RELEASES if release]
    assert len(versions) == len(RELEASES)
    assert versions == sorted(set(versions), reverse=True)
    assert days == sorted(days, reverse=True)


def test_a_build_takes_the_version_from_the_package() -> None:
    assert "version" in pyproject()["project"]["dynamic"]
    assert "version" not in pyproject()["project"]
    source = PROJECT_ROOT / pyproject()["tool"]["hatch"]["version"]["path"]
    assert re.search(r'^__version__ = "(.*)"$', source.read_text(), flags=re.MULTILINE)[1] == __version__  # type: ignore[index]
