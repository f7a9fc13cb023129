"""Signatures by which this project knows its own versions and champion records again: Ed25519, RFC 8032.

A digest shows that content has changed. A signature shows who wrote it: only a process with the private key makes one,
and any process with the public key checks it. So whoever can write below MODEL_ROOT and holds no private key cannot
make this code load a file.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from filelock import FileLock

from aiops_assets.errors import IntegrityError, SettingsError
from aiops_assets.storage.local_files import create_private, read_bounded
from aiops_assets.storage.records import Signature

Subject = Literal["manifest", "champion record"]
"""What is signed. It is part of the signed bytes: a signature of the one never passes for the other."""

MAX_KEY_BYTES = 64 * 1024
LOCK_SECONDS = 60.0
SIGN = "`aiops sign`"
UNSIGNED = ("unsigned", "unknown_key", "wrong_signature", "no_verify_key")
"""Codes of what :meth:`Keys.check` finds; each message names its cure."""
_PEM = re.compile(rb"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)


@dataclass(frozen=True)
class Keys:
    """The keys of a process, read from their files at each use: a key that was replaced needs no restart.

    Attributes:
        verify_file: public keys in PEM, one or several; what one of them signed is accepted.
        signing_file: private key in PEM (PKCS #8, without a password); ``None``: this process signs nothing.
    """

    verify_file: Path
    signing_file: Path | None = None

    def sign(self, subject: Subject, content: bytes) -> Signature:
        """Sign content.

        Raises:
            SettingsError: there is no private key, it cannot be read, or VERIFY_KEY_FILE does not accept it.
        """
        private = self._private()
        key = _id(private.public_key())
        if key not in self.accepted():
            raise SettingsError(
                f"VERIFY_KEY_FILE={self.verify_file} lacks the public key of SIGNING_KEY_FILE={self.signing_file}, so "
                "that what it signs would be refused: append it with "
                f"`openssl pkey -in {self.signing_file} -pubout >> {self.verify_file}`",
                code="key_not_accepted",
                key=key,
            )
        return Signature(key=key, value=base64.b64encode(private.sign(_payload(subject, content))).decode())

    def check(self, subject: Subject, content: bytes, signature: Signature | None, where: str) -> Signature:
        """The signature, if one of the accepted keys made it for this content.

        Args:
            subject: what the content is.
            content: the signed bytes.
            signature: the signature that was found beside it; ``None``: none was.
            where: path or URL of the content, for messages.

        Raises:
            IntegrityError: it is not signed ("unsigned"), by a key that is not accepted ("unknown_key"), or the content
                is another one ("wrong_signature"); or there is no public key to check it with ("no_verify_key").
            SettingsError: the key file cannot be read.
        """
        if signature is None:
            raise IntegrityError(
                f"{where} is not signed: an earlier release wrote it, or somebody else did: {SIGN} shows what is "
                "recorded of it, and signs it",
                code="unsigned",
                path=where,
            )
        accepted = self.accepted()
        if not accepted:
            raise IntegrityError(
                f"{where} is signed, and VERIFY_KEY_FILE={self.verify_file} does not exist: copy that file from where "
                "models are trained",
                code="no_verify_key",
                path=where,
            )
        public = accepted.get(signature.key)
        if public is None:
            raise IntegrityError(
                f"{where} was signed by key {signature.key}, which VERIFY_KEY_FILE={self.verify_file} lacks "
                f"({', '.join(accepted)}): do not load it; if that key is yours, append its public half to that file, "
                f"or sign with yours: {SIGN}",
                code="unknown_key",
                path=where,
                key=signature.key,
            )
        try:
            public.verify(base64.b64decode(signature.value, validate=True), _payload(subject, content))
        except (InvalidSignature, binascii.Error, ValueError):
            raise IntegrityError(
                f"{where} is not what was signed: it was changed since; do not use it; {SIGN} shows what is recorded "
                "of it",
                code="wrong_signature",
                path=where,
            ) from None
        return signature

    def accepted(self) -> Mapping[str, Ed25519PublicKey]:
        """Id -> public key that is accepted; empty: none is known.

        Without VERIFY_KEY_FILE, a process that holds the private key accepts what that one signed.

        Raises:
            SettingsError: a file cannot be read or holds something else.
        """
        data = _read(self.verify_file, "VERIFY_KEY_FILE")
        if data is not None:
            return _public_keys(data, self.verify_file)
        if self.signing_file is None or not self.signing_file.exists():
            return {}
        public = self._private().public_key()
        return {_id(public): public}

    @property
    def own(self) -> str:
        """Id of the key that this process signs with; empty: it has none.

        Raises:
            SettingsError: the file cannot be read or holds something else.
        """
        return _id(self._private().public_key()) if self.signing_file and self.signing_file.exists() else ""

    def make(self) -> bool:
        """Make a pair of keys where there is none; whether one was made.

        Only for processes that train, or that a person told to sign. Of two that do so at once, one makes the keys.

        Raises:
            SettingsError: there are public keys and no private one, or the files cannot be written.
        """
        if self.signing_file is None:
            raise _no_private_key(None)
        try:
            self.signing_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self.signing_file.exists() and self.verify_file.exists():
                return False
            with FileLock(self.signing_file.with_name(f".{self.signing_file.name}.lock"), timeout=LOCK_SECONDS):
                is_new = not self.signing_file.exists()
                if is_new:
                    if self.verify_file.exists():
                        raise _no_private_key(self.signing_file)
                    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
                    create_private(self.signing_file, pem, 0o600)
                # Also after a process that was killed in between.
                if not self.verify_file.exists():
                    public = self._private().public_key()
                    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
                    self.verify_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                    create_private(self.verify_file, pem, 0o644)
                return is_new
        except OSError as error:
            if self.signing_file.exists():
                return False  # mounted read-only, as a Secret is: the public key is derived from it
            raise SettingsError(
                f"SIGNING_KEY_FILE={self.signing_file} cannot be made ({error.strerror or error}): versions are signed "
                "with it; let it name a file in a folder that can be written, outside of AIOPS_HOME and MODEL_ROOT",
                code="key_not_made",
            ) from None

    def _private(self) -> Ed25519PrivateKey:
        data = _read(self.signing_file, "SIGNING_KEY_FILE") if self.signing_file else None
        if data is None:
            raise _no_private_key(self.signing_file)
        try:
            key = load_pem_private_key(data, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise SettingsError(
                f"SIGNING_KEY_FILE={self.signing_file} is not an Ed25519 private key in PEM without a password: "
                "`openssl genpkey -algorithm ed25519` makes one",
                code="not_a_key",
            )
        return key


def _payload(subject: Subject, content: bytes) -> bytes:
    return f"aiops-assets {subject} 1\n".encode() + content


def _id(public: Ed25519PublicKey) -> str:
    return hashlib.sha256(public.public_bytes_raw()).hexdigest()[:16]


def _public_keys(data: bytes, file: Path) -> dict[str, Ed25519PublicKey]:
    keys = {}
    for block in _PEM.finditer(data):
        if b"PRIVATE" in block[1]:
            raise SettingsError(
                f"VERIFY_KEY_FILE={file} holds a private key: whoever verifies needs the public one alone "
                "(`openssl pkey -pubout`)",
                code="private_key_there",
            )
        try:
            key = load_pem_public_key(block[0])
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise SettingsError(f"VERIFY_KEY_FILE={file} holds a key that is not Ed25519: remove it", code="not_a_key")
        keys[_id(key)] = key
    if not keys:
        raise SettingsError(
            f"VERIFY_KEY_FILE={file} holds no public key in PEM: `openssl pkey -in KEY -pubout` prints that of a "
            "private one",
            code="not_a_key",
        )
    return keys


def _read(file: Path, name: str) -> bytes | None:
    """Content of a key file; ``None``: there is none. It may be a link, as a mounted Secret is."""
    try:
        return read_bounded(file, MAX_KEY_BYTES)
    except FileNotFoundError:
        return None
    except IntegrityError as error:
        raise SettingsError(f"{name}: {error}", code=error.code) from None
    except OSError as error:
        raise SettingsError(f"{name}={file} cannot be read ({error.strerror})", code="key_not_read") from None


def _no_private_key(file: Path | None) -> SettingsError:
    if file is None:
        return SettingsError("this process has no private key: it verifies and signs nothing", code="no_signing_key")
    return SettingsError(
        f"SIGNING_KEY_FILE={file} does not exist, and VERIFY_KEY_FILE is there: copy the private key from where models "
        "were trained until now; if it is lost, make one (`openssl genpkey -algorithm ed25519 -out KEY`), append its "
        f"public half to VERIFY_KEY_FILE, and run {SIGN}",
        code="no_signing_key",
    )
