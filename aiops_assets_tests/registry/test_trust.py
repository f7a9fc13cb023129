"""Nothing that others put below MODEL_ROOT is executed: not by any command that loads, whatever else was edited.

The trap touches a file when it is unpickled.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from aiops_assets.commands.cli import main
from aiops_assets.errors import AiopsError, IntegrityError, NotFoundError
from aiops_assets.registry import champions
from aiops_assets.registry.doctor import Doctor
from aiops_assets.registry.judging import judge_challenger
from aiops_assets.registry.version import version_of
from aiops_assets.service.instruments import Instruments
from aiops_assets.service.pool import ModelPool
from aiops_assets.service.versions import ChampionSource, MountedSource
from aiops_assets.storage.handoff import VersionRef
from aiops_assets.storage.records import Manifest, sha256
from aiops_assets.storage.served import MANIFEST, SIGNATURE, ServedModels
from aiops_assets.storage.signatures import UNSIGNED, Keys
from aiops_assets.tracking.tracker import MANIFEST_TAG
from aiops_assets_tests.raising import raises
from aiops_assets_tests.registry.champion_home import ChampionHome, holdout_rows, three_versions, trap_file
from aiops_assets_tests.signed import keys_in
from aiops_assets_tests.storage.unfit_files import UNFIT, put_unfit

MODEL = "model.joblib"


@pytest.fixture
def home(tmp_path: Path) -> ChampionHome:
    """Versions 1, 2, 3, of which 2 is served and 1 was."""
    return three_versions(tmp_path / "home")


@pytest.fixture
def touched(tmp_path: Path) -> Path:
    return tmp_path / "executed"


def replace_files(home: ChampionHome, version: int, data: bytes) -> str:
    """Another model with a manifest that names it; the new digest of the manifest."""
    folder = home.model_folder / str(version)
    manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    changed = manifest.model_copy(update={"version": version, "files": {MODEL: sha256(data)}})
    (folder / MODEL).write_bytes(data)
    (folder / MANIFEST).write_bytes(changed.to_bytes())
    return home.digest(version)


def edit_record(home: ChampionHome, version: int, digest: str, *, keeps_signature: bool) -> None:
    """Let the record name a version as its champion, with that digest, also in its history."""
    path = home.model_folder / "champion.json"
    record = json.loads(path.read_bytes())
    record["champion"] |= {"version": version, "manifest_sha256": digest}
    for move in record["history"]:
        if move["version"] == version:
            move["manifest_sha256"] = digest
    if not keeps_signature:
        del record["signature"]
    path.write_text(json.dumps(record))


def edit_mlflow(home: ChampionHome, version: int, digest: str) -> None:
    """As whoever can write AIOPS_HOME can: its database lies there."""
    registered = home.tracker.find(home.name, version)
    client, _ = home.tracker._mlflow.open()
    if registered:
        client.set_model_version_tag(home.name, registered.registry_version, MANIFEST_TAG, digest)


def everything_edited(home: ChampionHome, data: bytes) -> int:
    """Model, manifest, champion record and MLflow agree on the trap."""
    digest = replace_files(home, 2, data)
    edit_record(home, 2, digest, keeps_signature=True)
    edit_mlflow(home, 2, digest)
    return 2


def record_without_signature(home: ChampionHome, data: bytes) -> int:
    digest = replace_files(home, 2, data)
    (home.model_folder / "2" / SIGNATURE).unlink()
    edit_record(home, 2, digest, keeps_signature=False)
    edit_mlflow(home, 2, digest)
    return 2


def never_recorded(home: ChampionHome, data: bytes) -> int:
    """Version 99, which MLflow never heard of, with a record that names it."""
    shutil.copytree(home.model_folder / "2", home.model_folder / "99")
    edit_record(home, 99, replace_files(home, 99, data), keeps_signature=True)
    return 99


def of_a_strangers_key(home: ChampionHome, data: bytes) -> int:
    """All of it signed properly, by somebody else."""
    digest = replace_files(home, 2, data)
    keys = keys_in(home.folder.parent / "stranger")
    keys.make()
    strangers = ServedModels(home.served.storage, keys)
    strangers.sign(home.name, 2, digest)
    edit_record(home, 2, digest, keeps_signature=False)
    record = strangers.unsigned_champion(home.name)
    assert record
    strangers.sign_champion(record)
    edit_mlflow(home, 2, digest)
    return 2


def signature_of_another(home: ChampionHome, data: bytes) -> int:
    digest = replace_files(home, 2, data)
    shutil.copy(home.model_folder / "1" / SIGNATURE, home.model_folder / "2" / SIGNATURE)
    edit_record(home, 2, digest, keeps_signature=True)
    edit_mlflow(home, 2, digest)
    return 2


ATTACKS: tuple[Callable[[ChampionHome, bytes], int], ...] = (
    everything_edited,
    record_without_signature,
    never_recorded,
    of_a_strangers_key,
    signature_of_another,
)
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("promote", "NAME", "VERSION"),
    ("rollback", "NAME"),
    ("rollback", "NAME", "--to", "VERSION"),
    ("evaluate",),
    ("models",),
    ("models", "NAME"),
    ("lineage", "NAME"),
    ("card", "NAME"),
    ("doctor", "--dry-run"),
    ("doctor",),
    ("scores",),
    ("sign",),
)
"""Commands that read versions, in the order in which they are typed; the first ones change nothing either."""


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_no_command_executes_what_others_put_there(
    home: ChampionHome, touched: Path, attack: Callable[..., int]
) -> None:
    version = attack(home, trap_file(touched))
    for words in COMMANDS:
        typed = [{"NAME": home.name, "VERSION": str(version)}.get(word, word) for word in words]
        variables = {"AIOPS_HOME": str(home.folder), "MODELS": home.name}
        done = CliRunner().invoke(main, typed, env=variables)
        assert not touched.exists(), typed
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
        if words[0] == "promote":
            assert done.exit_code == 2


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_the_service_keeps_what_it_serves_and_names_the_problem(
    home: ChampionHome, touched: Path, attack: Callable[..., int]
) -> None:
    serving = ServedModels(home.served.storage, Keys(home.served.keys.verify_file))
    pool = ModelPool(ChampionSource(serving), [home.spec], Instruments())
    pool.refresh()
    assert pool.get(home.name).champion.version == 2
    version = attack(home, trap_file(touched))
    pool.refresh()
    assert pool.get(home.name).champion.version == 2
    later = ModelPool(ChampionSource(serving), [home.spec], Instruments())
    mounted = ModelPool(MountedSource(home.model_folder / str(version), serving), [home.spec], Instruments(), only=True)
    for fresh in (later, mounted):
        fresh.refresh()
        assert fresh.ready == {}
        assert fresh.problems[home.name].code in ("unreadable_record", *UNSIGNED)
    assert not touched.exists()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_no_part_of_the_graph_executes_it(home: ChampionHome, touched: Path, attack: Callable[..., int]) -> None:
    """Evaluation, references of the handoff, repair and the doctor, as the assets call them."""
    rows = holdout_rows()
    version = attack(home, trap_file(touched))
    ref = VersionRef(name=home.name, version=version, manifest_sha256=home.digest(version))
    handed_over = version_of(home.served, home.spec, ref)
    uses: list[Callable[[], object]] = [
        handed_over.model,
        handed_over.verify,
        handed_over.smoke_test,
        handed_over.require_servable,
        handed_over.probe,
        lambda: handed_over.predict_holdout(rows, "x"),
        lambda: judge_challenger(handed_over, rows, "x", 1),
        lambda: judge_challenger(home.version(3), rows, "x", 1),
        lambda: champions.promote(home.served, home.tracker, home.spec, version, reason="", who=""),
        lambda: champions.reconcile(home.served, home.tracker, home.name),
    ]
    refused = 0
    for use in uses:
        try:
            use()
        except (IntegrityError, NotFoundError):
            refused += 1
        assert not touched.exists()
    assert refused >= len(uses) - 1  # a repair may find the right version by other evidence
    doctor = Doctor(home.served, home.training_sets, home.tracker, who="me")
    assert any(finding.is_left for finding in doctor.examine((home.spec,)))
    assert not touched.exists()


def test_a_version_that_nobody_signed_is_not_promoted_though_mlflow_knows_it(home: ChampionHome, touched: Path) -> None:
    digest = replace_files(home, 3, trap_file(touched))
    edit_mlflow(home, 3, digest)
    with raises(IntegrityError, "wrong_signature"):
        champions.promote(home.served, home.tracker, home.spec, 3, reason="", who="")
    (home.model_folder / "3" / SIGNATURE).unlink()
    with raises(IntegrityError, "unsigned"):
        champions.promote(home.served, home.tracker, home.spec, 3, reason="", who="")
    assert not touched.exists()
    assert home.said() == (2, 2, "2")


def test_a_record_that_names_another_of_our_versions_is_not_followed(home: ChampionHome) -> None:
    edit_record(home, 3, home.digest(3), keeps_signature=True)
    with raises(IntegrityError, "wrong_signature"):
        home.served.champion(home.name)
    with raises(IntegrityError, "wrong_signature"):
        champions.reconcile(home.served, home.tracker, home.name)
    assert home.said() == (3, 2, "2")
    champions.promote(home.served, home.tracker, home.spec, 2, reason="it was", who="ann@ops")
    assert home.said() == (2, 2, "2")
    assert champions.reconcile(home.served, home.tracker, home.name) == []


def test_a_veto_that_was_taken_out_of_the_record_stops_the_next_move(home: ChampionHome) -> None:
    champions.rollback(home.served, home.tracker, home.spec, None, reason="pages", who="bob@ops")
    path = home.model_folder / "champion.json"
    record = json.loads(path.read_bytes())
    record["vetoed"] = []
    path.write_text(json.dumps(record))
    with raises(IntegrityError, "wrong_signature"):
        home.served.move_champion(home.name, 2, home.digest(2), reason="", who="a run", seen=1)
    assert home.said()[0] == 1


def test_without_the_public_key_nothing_is_served(home: ChampionHome, tmp_path: Path) -> None:
    stranger = ServedModels(home.served.storage, Keys(tmp_path / "verify.pub"))
    pool = ModelPool(ChampionSource(stranger), [home.spec], Instruments())
    pool.refresh()
    assert pool.problems[home.name].code == "unreadable_record"
    (tmp_path / "verify.pub").write_bytes(home.served.keys.verify_file.read_bytes())
    pool.refresh()
    assert pool.get(home.name).champion.version == 2


@pytest.mark.parametrize("kind", UNFIT)
@pytest.mark.parametrize("place", ["2/model.joblib", "2/manifest.json", "2/manifest.json.sig", "champion.json"])
def test_what_never_ends_or_lies_elsewhere_is_refused_before_it_is_read(
    home: ChampionHome, place: str, kind: str
) -> None:
    path = home.model_folder / place
    path.unlink()
    limit = {"model.joblib": 2**30, "manifest.json.sig": 4096}.get(path.name, 16 * 2**20)
    put_unfit(path, kind, limit)
    pool = ModelPool(ChampionSource(home.served), [home.spec], Instruments())
    pool.refresh()
    assert pool.ready == {}
    assert pool.problems[home.name].code in ("not_a_file", "outside", "too_large", "unreadable_record")
    with pytest.raises(AiopsError):
        champions.promote(home.served, home.tracker, home.spec, 2, reason="", who="")
    for finding in Doctor(home.served, home.training_sets, home.tracker, who="me", repair=False).examine((home.spec,)):
        assert finding.text
    CliRunner().invoke(main, ["sign"], env={"AIOPS_HOME": str(home.folder)})


def test_a_version_that_is_a_link_out_of_the_root_is_refused(home: ChampionHome, tmp_path: Path) -> None:
    moved = shutil.move(home.model_folder / "2", tmp_path / "elsewhere")
    (home.model_folder / "2").symlink_to(moved)
    with raises(IntegrityError, "outside"):
        home.version(2, home.champion_move().manifest_sha256).model()
