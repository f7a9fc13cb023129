"""`aiops card` and `aiops compare` as people type them."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from aiops_assets.commands.cli import main
from aiops_assets.errors import IntegrityError, NotFoundError
from aiops_assets.families.catalog import MODELS
from aiops_assets.judging.detection.shadow import side_by_side
from aiops_assets.learners.contracts import Scored
from aiops_assets.pipeline.resources import stores_of
from aiops_assets.storage.cards import Cards
from aiops_assets.storage.shadow import ShadowRecord, ShadowScores
from aiops_assets.storage.storage import LocalStorage
from aiops_assets_tests.commands.typed import Transcript, refused
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.raising import raises
from aiops_assets_tests.registry.champion_home import home_of
from aiops_assets_tests.reporting.card_subject import scores
from aiops_assets_tests.snapshot import assert_snapshot

NAME = "anomaly-detector"
END = datetime(2026, 11, 1, tzinfo=UTC)


def call(folder: Path, *arguments: str) -> Result:
    unset = dict.fromkeys(("MODEL_ROOT", "MLFLOW_TRACKING_URI", "DATA_SOURCE", "PROMETHEUS_URL", "CLUSTER"))
    return CliRunner().invoke(main, arguments, env={**unset, "AIOPS_HOME": str(folder)})


def keep(folder: Path, week: int, challenger: int, champion: int, *, skill: float = 2.0, note: str = "") -> None:
    """A window in which the challenger ranks as well as ``skill`` says, and the champion as 1 does."""
    rows = scores()
    rng = np.random.default_rng(week)
    labels = rows["label"].to_numpy()
    new, old = (
        Scored(labels * s + rng.normal(0, 0.5, len(rows)), labels == 1, np.zeros((len(rows), 0))) for s in (skill, 1.0)
    )
    frame = side_by_side(rows, new, old if champion and not note else None, rows["challenger_first"].to_numpy())
    end = END + timedelta(weeks=week)
    record = ShadowRecord(
        name=NAME, challenger=challenger, challenger_sha256=f"c{challenger}", champion=champion,
        champion_sha256=f"c{champion}" if champion else "", note=note, data_version="d", effective_source="synthetic",
        window_start=end - timedelta(days=7), window_end=end, code_version="0", metrics=("cpu",),
    )  # fmt: skip
    ShadowScores(LocalStorage(folder), "default").put(record, frame)


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    keep(tmp_path, 0, 1, 0)
    keep(tmp_path, 1, 2, 1)
    keep(tmp_path, 1, 2, 2)
    keep(tmp_path, 2, 3, 2, skill=0.3)
    keep(tmp_path, 3, 4, 2, note="model.joblib is not the file its manifest names: do not load it")
    return tmp_path


def test_a_line_for_each_window_and_what_they_say_together(kept: Path) -> None:
    done = call(kept, "compare", NAME)
    assert done.exit_code == 0
    head, *lines, _, _ = done.stdout.splitlines()  # the snapshot has note and summary
    assert head.split()[:5] == ["WINDOW", "END", "CHALLENGER", "CHAMPION", "ROWS"]
    cells = [line.split() for line in lines]
    assert [row[:5] for row in cells] == [
        ["2026-11-01", "1", "-", "600", "120"],
        ["2026-11-08", "2", "1", "600", "120"],
        ["2026-11-08", "2", "2", "600", "120"],
        ["2026-11-15", "3", "2", "600", "120"],
        ["2026-11-22", "4", "2", "600", "120"],
    ]
    assert cells[0][6:] == ["-", "0.00%", "-", "-", "-"]
    assert cells[1][7:10] == ["0.00%", "0.00%", "100.0%"]
    assert float(cells[1][5]) > float(cells[1][6]) + 0.02
    assert float(cells[3][5]) < float(cells[3][6]) - 0.02
    assert {line.index("600") for line in lines} == {head.index("ROWS")}


def test_compare_as_json_holds_everything(kept: Path) -> None:
    done = call(kept, "compare", NAME, "--json")
    found = json.loads(done.stdout)
    assert found["name"] == NAME
    assert found["summary"] == call(kept, "compare", NAME).stdout.splitlines()[-1]
    alone, pair = found["windows"][:2]
    assert (alone["champion"], alone["champion_figures"], alone["alerts_agree"]) == (0, None, None)
    assert (pair["challenger"], pair["challenger_sha256"], pair["window_end"]) == (2, "c2", "2026-11-08T00:00:00Z")
    assert pair["challenger_figures"]["recall"] == 1.0
    assert set(pair["champion_figures"]) == set(pair["challenger_figures"])
    assert found["windows"][-1]["note"]


def test_a_damaged_window_is_named_and_passed_over(kept: Path) -> None:
    path = kept / "shadow" / "cluster=default" / NAME / "2026-11-15__v3__v2.parquet"
    path.write_bytes(b"x")
    done = call(kept, "compare", NAME, "--json")
    assert done.exit_code == 0
    with raises(IntegrityError, "unreadable_window") as caught:
        ShadowScores(LocalStorage(kept), "default").read(NAME, path.name)
    assert done.stderr == f"warning: {caught.value}\n"
    assert len(json.loads(done.stdout)["windows"]) == 4


THERE = [spec.name for spec in MODELS]
REFUSED: dict[tuple[str, ...], tuple[str, dict[str, object]]] = {
    ("compare", NAME): ("no_window", {"name": NAME}),
    ("compare", "nobody"): ("no_model", {"there": THERE}),
    ("card", NAME): ("no_card_yet", {"name": NAME}),
    ("card", NAME, "3"): ("no_card", {"version": 3, "there": []}),
    ("card", "nobody"): ("no_model", {"there": THERE}),
    ("card", "timeseries-predictor"): ("no_card_yet", {"name": "arima-predictor"}),
    ("compare", "timeseries-predictor"): ("no_window", {"name": "arima-predictor"}),
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    code, facts = REFUSED[arguments]
    refused(call(tmp_path, *arguments), NotFoundError, code, **facts)


def test_what_is_printed(kept: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    empty = tmp_path_factory.mktemp("empty")
    said = Transcript(lambda *words: call(empty, *words), EMPTY=empty)
    for arguments in REFUSED:
        said.type(*arguments)
    some = Transcript(lambda *words: call(kept, *words), HOME=kept)
    some.type("compare", NAME)
    (kept / "shadow" / "cluster=default" / NAME / "2026-11-15__v3__v2.parquet").write_bytes(b"x")
    some.type("compare", NAME)
    assert_snapshot("commands_cards", said.text + some.text)


def test_the_card_of_the_champion_or_of_a_version(tmp_path: Path) -> None:
    home = home_of(tmp_path)
    for _ in range(2):
        home.publish(b"model")
    home.served.move_champion(NAME, 1, home.digest(1), reason="first", who="ada", seen=None)
    cards = Cards(LocalStorage(tmp_path / "models"))
    for version in (1, 2):
        cards.put(NAME, version, {"card.md": f"# card {version}\n\n\u2713 text\n".encode()})
    done = call(tmp_path, "card", NAME)
    assert done.stdout == f"{tmp_path}/models/{NAME}/cards/1/card.md\n\n# card 1\n\n\u2713 text\n"
    assert call(tmp_path, "card", NAME, "2").stdout.splitlines()[2] == "# card 2"
    shutil.rmtree(tmp_path / "models" / NAME / "cards" / "1")
    refused(call(tmp_path, "card", NAME), NotFoundError, "no_card", version=1, there=[2])


def test_without_a_champion_the_newest_card_is_shown(tmp_path: Path) -> None:
    stores = stores_of(make_settings(tmp_path))
    for version in (9, 10):
        stores.cards().put(NAME, version, {"card.md": f"# card {version}\n".encode()})
    assert "# card 10" in call(tmp_path, "card", NAME).stdout
