"""What every HTTP client of ours does alike: the URL it takes, the token that it sends, what it shows of a failure."""

import re
from pathlib import Path
from urllib.parse import urlsplit


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


def read_token(path: Path, what: str, setting: str, error: type[Exception]) -> str:
    """The content of a file that holds a token alone, read anew: tokens rotate.

    Args:
        path: of the file; white space around the token is not part of it.
        what: the token is to people, such as "API key".
        setting: that names the file.
        error: raised where no token can be read; its message tells what to do and shows nothing of the content.
    """
    cure = f"{setting} must name a readable file that holds the {what} alone"
    try:
        content = path.read_bytes().strip()
    except OSError as problem:
        raise error(f"no {what}: {path}: {problem.strerror}; {cure}") from None
    # Anything else would be refused by requests, in an error that shows the token.
    if not content or any(not 0x21 <= byte <= 0x7E for byte in content):
        raise error(f"no usable {what} in {path}; {cure}")
    return content.decode("ascii")


def reason_of(error: BaseException) -> str:
    """What went wrong at the bottom, in one line: requests and urllib3 wrap it in several layers of words."""
    for inner in (getattr(error, "reason", None), *error.args):
        if isinstance(inner, BaseException):
            return reason_of(inner)
    return " ".join(f"{type(error).__name__}: {error}".split())
