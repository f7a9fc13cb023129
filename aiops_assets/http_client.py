"""What every HTTP client of ours does alike: the URL it takes, the token that it sends, what it shows of a failure."""

import os
import re
import stat
from contextlib import nullcontext
from pathlib import Path
from urllib.parse import urlsplit

from aiops_assets.errors import AiopsError

MAX_SECRET_BYTES = 1 << 16
"""A file that holds a secret is no larger."""


def plain_url(url: str, token_setting: str) -> str:
    """An http or https URL without credentials and query, and without a slash at its end.

    Args:
        url: as people wrote it.
        token_setting: the variable that names the file of the server's token, for the message.

    Raises:
        ValueError: what the URL must be instead; it shows nothing of it.
    """
    if set(url) & set("@?#"):
        raise ValueError(f"must be a URL without user, password or query: put a bearer token in {token_setting}")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("must be an http:// or https:// URL")
    return url.rstrip("/")


def without_secrets(text: str) -> str:
    """A URL, or any other value, as people may see it: nothing before an @, nothing from a ? or # on."""
    text = re.sub(r"[?#].*", "?***", text)
    return re.sub(r"^([a-z0-9+.-]+://)?.*@", r"\1***@", text)


def read_token(path: Path, what: str, setting: str, error: type[AiopsError]) -> str:
    """The content of a file that holds a token alone, read anew: tokens rotate.

    Args:
        path: of the file; white space around the token is not part of it.
        what: the token is to people, such as "API key".
        setting: that names the file.
        error: raised where no token can be read; its message tells what to do and shows nothing of the content.
    """
    content = read_secret(path, what, setting, error).strip()
    # Anything else would be refused by requests, in an error that shows the token.
    if not content or any(not 0x21 <= byte <= 0x7E for byte in content):
        raise unusable(path, what, setting, error)
    return content.decode("ascii")


def read_secret(path: Path, what: str, setting: str, error: type[AiopsError]) -> bytes:
    """The content of a regular file of limited size, such as one with a secret. Arguments as in :func:`read_token`."""
    try:
        # A pipe that nobody writes to would block for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            is_regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            with os.fdopen(descriptor, "rb", closefd=False) if is_regular else nullcontext() as file:
                content = file.read(MAX_SECRET_BYTES + 1) if file else b""
        finally:
            os.close(descriptor)
    except OSError as problem:
        raise error(
            f"no {what}: {path}: {problem.strerror}; {_cure(what, setting)}",
            code="no_file",
            setting=setting,
            path=str(path),
        ) from None
    if not is_regular or len(content) > MAX_SECRET_BYTES:
        raise unusable(path, what, setting, error)
    return content


def unusable(path: Path, what: str, setting: str, error: type[AiopsError], why: str = "") -> AiopsError:
    """The error that a file holds something else than it should; ``why`` must show nothing of a secret."""
    said = f"no usable {what} in {path}{f' ({why})' if why else ''}; {_cure(what, setting)}"
    return error(said, code="unusable_file", setting=setting, path=str(path))


def _cure(what: str, setting: str) -> str:
    return f"{setting} must name a readable file that holds the {what} alone"


def reason_of(error: BaseException) -> str:
    """What went wrong at the bottom, in one line: requests and urllib3 wrap it in several layers of words."""
    bottom = bottom_of(error)
    return " ".join(f"{type(bottom).__name__}: {bottom}".split())


def bottom_of(error: BaseException) -> BaseException:
    """The error that others were made of."""
    for inner in (getattr(error, "reason", None), *error.args):
        if isinstance(inner, BaseException):
            return bottom_of(inner)
    return error
