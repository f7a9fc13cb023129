"""Keys: made once and for their owner alone, several accepted, and every other file refused by name."""

import os
import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aiops_assets.errors import IntegrityError, SettingsError
from aiops_assets.storage.records import Signature
from aiops_assets.storage.signatures import Keys
from aiops_assets_tests.raising import raises
from aiops_assets_tests.signed import keys_in
from aiops_assets_tests.storage.unfit_files import UNFIT, put_unfit

CONTENT = b"content"


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    made = keys_in(tmp_path / "config")
    assert made.make()
    return made


def verifying(keys: Keys) -> Keys:
    """As a process that serves has them."""
    return Keys(keys.verify_file)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _make(folder: Path) -> bool:
    return keys_in(folder).make()


def test_what_is_signed_is_checked_with_the_public_key_alone(keys: Keys) -> None:
    made = keys.sign("manifest", CONTENT)
    assert verifying(keys).check("manifest", CONTENT, made, "it") == made
    assert made.key == keys.own


def test_another_content_subject_or_signature_is_refused(keys: Keys) -> None:
    made = keys.sign("manifest", CONTENT)
    with raises(IntegrityError, "wrong_signature", path="it"):
        keys.check("manifest", CONTENT + b" ", made, "it")
    with raises(IntegrityError, "wrong_signature"):
        keys.check("champion record", CONTENT, made, "it")
    for value in ("", "no base64", made.value[:-8]):
        with raises(IntegrityError, "wrong_signature"):
            keys.check("manifest", CONTENT, Signature(key=made.key, value=value), "it")
    with raises(IntegrityError, "unsigned", path="it"):
        keys.check("manifest", CONTENT, None, "it")


def test_the_private_key_is_for_its_owner_and_the_umask_changes_nothing(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        keys = keys_in(tmp_path / "config" / "aiops")
        keys.make()
    finally:
        os.umask(before)
    assert keys.signing_file
    assert (mode_of(keys.signing_file), mode_of(keys.verify_file)) == (0o600, 0o644)
    assert mode_of(keys.signing_file.parent) & 0o022 == 0
    assert not list(keys.signing_file.parent.glob("*.tmp"))


def test_keys_that_are_there_stay(keys: Keys) -> None:
    own = keys.own
    assert not keys.make()
    assert keys.own == own


def test_of_several_that_make_keys_at_once_one_does(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(_make, [tmp_path / "config"] * 16))
    assert sum(made) == 1
    keys = keys_in(tmp_path / "config")
    assert list(keys.accepted()) == [keys.own]


def test_a_kill_between_the_two_files_is_made_good(keys: Keys) -> None:
    made = keys.sign("manifest", CONTENT)
    keys.verify_file.unlink()
    assert keys.check("manifest", CONTENT, made, "it") == made  # a process that signs knows its own
    with raises(IntegrityError, "no_verify_key"):
        verifying(keys).check("manifest", CONTENT, made, "it")
    assert not keys.make()
    assert verifying(keys).check("manifest", CONTENT, made, "it") == made


def test_a_lost_private_key_is_not_replaced_in_silence(keys: Keys) -> None:
    assert keys.signing_file
    keys.signing_file.unlink()
    for use in (keys.make, lambda: keys.sign("manifest", CONTENT)):
        with raises(SettingsError, "no_signing_key"):
            use()
    assert not keys.signing_file.exists()


def test_who_only_verifies_makes_and_signs_nothing(tmp_path: Path) -> None:
    only = Keys(tmp_path / "verify.pub")
    for use in (only.make, lambda: only.sign("manifest", CONTENT)):
        with raises(SettingsError, "no_signing_key"):
            use()
    assert list(tmp_path.iterdir()) == []


def test_several_public_keys_are_accepted_while_keys_are_rotated(keys: Keys, tmp_path: Path) -> None:
    old = keys.sign("manifest", CONTENT)
    other = keys_in(tmp_path / "other")
    other.make()
    new = Keys(keys.verify_file, other.signing_file)
    with raises(SettingsError, "key_not_accepted", key=other.own):
        new.sign("manifest", CONTENT)
    theirs = other.sign("manifest", CONTENT)
    with raises(IntegrityError, "unknown_key", key=other.own):
        keys.check("manifest", CONTENT, theirs, "it")
    both = b"# the old one\n" + keys.verify_file.read_bytes() + b"\n# the new one\n" + other.verify_file.read_bytes()
    keys.verify_file.write_bytes(both)  # no restart is needed
    for made in (old, theirs, new.sign("manifest", CONTENT)):
        assert keys.check("manifest", CONTENT, made, "it") == made
    keys.verify_file.write_bytes(other.verify_file.read_bytes())
    with raises(IntegrityError, "unknown_key", key=old.key):
        verifying(keys).check("manifest", CONTENT, old, "it")


@pytest.mark.needs("openssl")
def test_keys_of_openssl_are_taken_and_other_kinds_are_not(tmp_path: Path) -> None:
    keys = keys_in(tmp_path)
    private = tmp_path / "signing.key"

    def generate(*kind: str) -> None:
        subprocess.run(["openssl", "genpkey", "-out", private, *kind], check=True, capture_output=True)
        command = ["openssl", "pkey", "-in", str(private), "-pubout", "-out", str(keys.verify_file)]
        subprocess.run(command, check=True, capture_output=True)

    generate("-algorithm", "ed25519")
    assert verifying(keys).check("manifest", CONTENT, keys.sign("manifest", CONTENT), "it")
    generate("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    with raises(SettingsError, "not_a_key"):
        keys.sign("manifest", CONTENT)
    with raises(SettingsError, "not_a_key"):
        keys.accepted()


def test_a_private_key_among_the_public_ones_is_refused(keys: Keys) -> None:
    assert keys.signing_file
    keys.verify_file.write_bytes(keys.signing_file.read_bytes())
    with raises(SettingsError, "private_key_there"):
        keys.accepted()


@pytest.mark.parametrize("content", [b"", b"{}", b"-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n"])
def test_what_is_no_key_is_named(keys: Keys, content: bytes) -> None:
    made = keys.sign("manifest", CONTENT)
    keys.verify_file.write_bytes(content)
    with raises(SettingsError, "not_a_key"):
        keys.check("manifest", CONTENT, made, "it")
    assert keys.signing_file
    keys.signing_file.write_bytes(content)
    with raises(SettingsError, "not_a_key"):
        keys.sign("manifest", CONTENT)


@pytest.mark.parametrize("kind", [kind for kind in UNFIT if "link" not in kind])
def test_key_files_that_never_end_are_not_read(keys: Keys, kind: str) -> None:
    made = keys.sign("manifest", CONTENT)
    keys.verify_file.unlink()
    code = put_unfit(keys.verify_file, kind, 70_000)
    with raises(SettingsError, code):
        verifying(keys).check("manifest", CONTENT, made, "it")


def test_a_key_may_be_a_link_as_in_a_mounted_secret(keys: Keys, tmp_path: Path) -> None:
    made = keys.sign("manifest", CONTENT)
    (tmp_path / "link").symlink_to(keys.verify_file)
    assert Keys(tmp_path / "link").check("manifest", CONTENT, made, "it")
