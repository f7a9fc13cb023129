"""A card tells every fact of the records, whatever their names hold, and its pictures show what there is."""

import hashlib
import io
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from aiops_assets.families.catalog import MODELS
from aiops_assets.families.contract import ModelSpec
from aiops_assets.reporting.cards.markdown import code, text
from aiops_assets.reporting.cards.rendering import card_files
from aiops_assets.reporting.cards.text import card_text
from aiops_assets.reporting.reports import report_of
from aiops_assets_tests.reporting.card_subject import EVALUATION, MANIFEST, TRAINING_SET, scores, subject
from aiops_assets_tests.snapshot import assert_snapshot

CELL = re.compile(r"(?<!\\)\|")
KIND = report_of(subject().spec).card


def leaves(value: object) -> Iterator[object]:
    """All that a record says, names of keys among it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from (key, *leaves(inner))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from leaves(inner)
    else:
        yield value


def facts(record: dict[str, object]) -> Iterator[str]:
    """What a reader looks for: names and digests as they are, times to the minute, counts with commas."""
    for value in record.values():
        for leaf in leaves(value):
            if isinstance(leaf, datetime):
                yield f"{leaf:%Y-%m-%d %H:%M} UTC"
            elif isinstance(leaf, int):
                yield f"{leaf:,}"
            elif isinstance(leaf, str) and leaf:
                yield leaf


def cells(card: str) -> dict[str, list[str]]:
    """The rows of all tables of a card: the first cell, and the unparsed text of the others."""
    lines = [CELL.split(line)[1:-1] for line in card.splitlines() if line.startswith("|")]
    return {first.strip(): [cell.strip() for cell in rest] for first, *rest in lines}


def shown(fact: str, card: str) -> bool:
    return any(form in card for form in (text(fact), code(fact), repr(fact)))


@pytest.fixture(scope="module")
def card() -> str:
    return card_files(subject())["card.md"].decode()


def test_every_fact_of_the_manifest_is_there(card: str) -> None:
    said = MANIFEST.model_dump(exclude={"metrics", "source", "parameters"})
    assert [fact for fact in facts(said) if not shown(fact, card)] == []
    assert "| parameter `alert_budget` | `0.01` |" in card
    assert "| parameter `random_seed` | `42` |" in card


def test_every_note_on_its_source_is_there(card: str) -> None:
    expected = {
        "effective source": "`cached+synthetic`",
        "requested source": "`prometheus`",
        "rows from prometheus": "12,345",
        "rows from synthetic": "3,000",
        "note": text(MANIFEST.source.note),
        "age of the cached days": "7,200 s",
        "coverage": "87.5%",
        "coverage of pod_cpu_usage": "87.5%",
        r"coverage of odd\|metric": "99.1%",
        "full days": "6 of 7",
        "lost to gaps": "12.5%",
        "rows that know pod_cpu_usage": "100.0% of 12,345",
        r"nodes behind odd\|metric": "2 to 3; fewer than 3 for 31.0 h, 18% of the time",
        "warning": text(MANIFEST.source.warnings[0]),
        "window": " to ".join(("2026-10-25 00:00 UTC", "2026-11-01 00:00 UTC")),
    }
    assert cells(card).items() >= {name: [value] for name, value in expected.items()}.items()
    (lacking,) = cells(card)[r"rows that know odd\|metric"]
    assert re.findall(r"[\d.]+%|\d of \d", lacking) == ["25.0%", "2 of 3", "4 of 9"]
    assert r"db\|1, web-2" in lacking
    assert r"\`log\`" in cells(card)["note"][0]
    assert r"\*n1\*" in cells(card)["warning"][0]


def test_every_fact_of_the_training_set_is_there(card: str) -> None:
    expected = {
        "pods": "3",
        "days": "2, 2026-10-25 to 2026-10-31",
        "queries": "2",
        r"`odd\|metric`": r'`y{a=~"b\|c"}`',
    }
    assert cells(card).items() >= {name: [value] for name, value in expected.items()}.items()
    (rows,) = cells(card)["rows"]
    assert re.findall(r"[\d.,]+\d%?", rows) == ["15,345", "2.99%", "3.00%"]
    assert all(shown(query, card) for query in TRAINING_SET.queries.values())


def test_every_fact_of_the_evaluation_is_there(card: str) -> None:
    figures = {"figures", "opponent_figures", "gaps", "equal"}
    assert [fact for fact in facts(EVALUATION.model_dump(exclude=figures)) if not shown(fact, card)] == []
    rows = cells(card)
    own, *others = rows["average precision"]
    assert re.fullmatch(r"0\.471 \(0\.\d{3} to [01]\.\d{3}\)", own)
    assert others == ["0.469", "+0.002 (-0.012 to +0.023)"]
    own, *others = rows[KIND.name("false_alarm_rate")]
    assert re.fullmatch(r"0\.32% \(.*% to .*%\)", own)
    assert others == ["0.45%", "-0.13 pp (-0.24 pp to +0.01 pp)"]
    assert rows[KIND.name("precision")] == ["65.75%", "-", "-"]
    assert rows[KIND.name("recall")] == ["19.83%", "-", "-"]
    assert rows["F1 of the alerts"] == ["0.305", "-", "-"]
    assert rows[KIND.name("recall_cpu_spike")] == ["38.03%", "40.85%", "-"]
    assert rows[KIND.name("recall_memory_leak")] == ["91.23%", "-", "-"]
    (episodes,) = (row for name, row in rows.items() if name.startswith("episodes of cpu spike"))
    assert episodes == ["3 of 3", "-", "-"]


def test_weaknesses_stand_in_the_card(card: str) -> None:
    weak = card.partition("## Known weaknesses")[2].partition("## Data")[0]
    found = KIND.weaknesses(subject())
    assert {"low_recall_in_episodes", "unjudged_kinds", "warned"} <= {one.code for one in found}
    assert weak.split("\n- ")[1:] == [text(one.text) for one in found[:-1]] + [f"{text(found[-1].text)}\n\n"]


def test_odd_names_make_no_markup(card: str) -> None:
    assert r"\<b\>closely\</b\>" in card
    assert r"\[champion\](x)" in card
    for block in re.split(r"\n(?!\|)", card):
        table = [line for line in block.splitlines() if line.startswith("|")]
        assert len({len(CELL.findall(line)) for line in table}) <= 1, table
    # Nothing but the card's own headings, in this order.
    headings = re.findall(r"^#+ .*", card.partition("```python")[0], flags=re.MULTILINE)
    assert_snapshot("card_headings", "".join(f"{line}\n" for line in headings))


def test_columns_have_units_also_when_they_are_statistics() -> None:
    manifest = MANIFEST.model_copy(update={"features": ("pod_cpu_usage_mean_5m", "new"), "width": 2})
    lines = card_text(subject(manifest=manifest)).splitlines()
    assert "| 0 | `pod_cpu_usage_mean_5m` | cores |" in lines
    assert "| 1 | `new` | - |" in lines


def test_the_code_of_the_card_refuses_a_file_that_was_changed(tmp_path: Path) -> None:
    folder = tmp_path / "it's \\ odd"
    folder.mkdir()
    files = {"manifest.json": b"{}", "other.bin": b"weights"}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    manifest = MANIFEST.model_copy(update={"files": {"other.bin": digests["other.bin"]}})
    card = card_text(subject(manifest=manifest, manifest_sha256=digests["manifest.json"], directory=str(folder)))
    program = card.partition("```python\n")[2].partition("```")[0]
    exec(program, {})
    (folder / "other.bin").write_bytes(b"weightz")
    with pytest.raises(AssertionError, match=r"other\.bin"):
        exec(program, {})


def test_a_version_in_a_bucket_is_loaded_from_a_copy() -> None:
    card = card_text(subject(directory="s3://models/ensemble-predictor/7"))
    assert "pathlib.Path('local-copy')" in card
    assert "It lies in `s3://models/ensemble-predictor/7`." in card


def test_equal_records_give_an_equal_card() -> None:
    assert card_files(subject()) == card_files(subject())


def test_pictures_are_named_in_the_card_and_small_enough_for_the_ui() -> None:
    files = card_files(subject())
    assert sorted(files) == ["card.md", "contributions.png", "figures.png", "timeline.png"]
    for name in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", files["card.md"].decode()):
        picture = Image.open(io.BytesIO(files.pop(name)))
        assert picture.format == "PNG"
        assert picture.width > 500
        # More than a background and its text was drawn.
        assert len(picture.convert("RGB").getcolors() or []) > 5
    assert list(files) == ["card.md"]


def test_what_is_not_there_is_not_told() -> None:
    bare = subject(evaluation=None, training_set=None, scores=None, shadow=None)
    files = card_files(bare)
    assert sorted(files) == ["card.md", "figures.png"]
    card = files["card.md"].decode()
    assert "never judged" in card
    assert cells(card)["average precision"] == ["0.100", "-", "-"]
    assert "pods" not in cells(card)
    assert "timeline.png" not in card
    nothing = card_files(subject(manifest=MANIFEST.model_copy(update={"metrics": {}}), evaluation=None, scores=None))
    assert sorted(nothing) == ["card.md"]


@pytest.mark.parametrize("opponent", ["the null model", "none", "champion version 5"])
def test_the_champions_own_noise_is_only_drawn_where_it_was_the_opponent(opponent: str) -> None:
    other = EVALUATION.model_copy(update={"opponent": opponent})
    assert subject().opponent_scores is not None
    assert subject(evaluation=other).opponent_scores is None
    assert "figures.png" in card_files(subject(evaluation=other))


@pytest.mark.parametrize(
    "frame",
    [
        scores(pods=1, rows=20),  # points, not lines
        scores(kinds=()),  # no anomaly: nothing to rank, nothing to explain
        scores(kinds=("solar_flare",)),  # a kind that this code does not know
        scores().iloc[:0],
    ],
    ids=["few rows", "no anomaly", "unknown kind", "no row"],
)
@pytest.mark.filterwarnings("error")
def test_odd_scores_still_make_a_card(frame: pd.DataFrame) -> None:
    files = card_files(subject(scores=frame))
    assert ("timeline.png" in files) == bool(len(frame))
    assert ("contributions.png" in files) == bool((frame["label"] == 1).any())


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
def test_a_card_says_how_its_kind_of_model_is_used_retrained_and_loaded(spec: ModelSpec) -> None:
    family = spec.family
    files = {family.model_file: "cd" * 32, "other.bin": "00"}
    card = card_text(subject(spec=spec, manifest=MANIFEST.model_copy(update={"files": files}), scores=None))
    for paragraph in (family.use, family.limits, text(family.how_refitted)):
        assert f"\n{paragraph}\n" in card
    assert f"\nThis version: {text(MANIFEST.fit)}.\n" in card
    assert r"\<champion\>" in card
    program = card.partition("```python\n")[2].partition("```")[0]
    compile(program, spec.name, "exec")
    assert family.model_file in program
    assert "# 'other.bin': see aiops_assets.registry.version.version_of" in program
    unknown = card_text(subject(spec=spec, manifest=MANIFEST.model_copy(update={"fit": ""}), scores=None))
    assert "This version:" not in unknown
