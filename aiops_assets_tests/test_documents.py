"""The documents beside the README: links lead somewhere, commands exist, no word is explained twice."""

import re

import pytest

from aiops_assets.settings import PROJECT_ROOT

DOCUMENTS = ("CONTRIBUTING.md", "CHANGELOG.md", "docs/glossary.md", "aiops_assets_tests/deploy/schemas/README.md")


def anchors(text: str) -> set[str]:
    return {title.lower().replace(" ", "-") for title in re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    page = PROJECT_ROOT / name
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), link


@pytest.mark.parametrize("name", DOCUMENTS)
def test_targets_of_make_exist(name: str) -> None:
    targets = re.findall(r"^([a-z-]+):.*##", (PROJECT_ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert set(re.findall(r"`(?:[A-Z]\S* )?make ([a-z-]+)", (PROJECT_ROOT / name).read_text())) <= set(targets)


def test_a_word_of_the_glossary_is_explained_once() -> None:
    glossary, _, avoided = (PROJECT_ROOT / "docs/glossary.md").read_text().partition("## Words we do not use")
    words = re.findall(r"^\| ([^|]+) \|", glossary, flags=re.MULTILINE)
    words = [word for word in words if word != "word"]
    assert len(words) > 50
    assert len(words) == len(set(words))
    assert not set(words) & set(re.findall(r"^\| ([^|]+) \|", avoided, flags=re.MULTILINE))
