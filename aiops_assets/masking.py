"""Masks secrets in what another side sends back, however it spells them, and leaves samples as they are."""

import base64
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property

MIN_CHARACTERS = 4
"""A shorter text alone is in every answer: it is masked within ``Bearer <token>`` or ``<user>:<password>`` only."""
WORD_CHARACTERS = 12
"""A shorter text is masked only where it stands as a word of its own."""
UNLIKELY_CHARACTERS, SURELY_UNLIKELY = 8, 16
"""From so many characters on a text is no label by chance: if it is no number or chosen word, and in any case."""
HEAD_CHARACTERS = 16
"""A longer secret is recognized by its first 16 characters. They are masked also where an answer is cut off there."""

_WORD = re.compile(r"[a-z]+|[A-Z]+|[A-Z][a-z]+|[0-9]+")
_NUMERAL = re.compile(r"[0-9.eE+-]+")
_NAMED = {"&": b"amp", "<": b"lt", ">": b"gt", '"': b"quot", "'": b"apos"}
_ESCAPES = (b"\\", b"%", b"&")
"""Without one of these, a text is spelled as it is."""
_BEFORE_WORD = re.compile(rb"(?:^|[^A-Za-z0-9]|%[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\[bfnrt])\Z", re.DOTALL)
_LONGEST_ESCAPE = 6
_JSON_BEGINS = re.compile(rb'\s*[{\["]')

_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
_NUMBER = rb"[+-]?[0-9.][0-9.eE+-]*"
_JSON_PARTS = re.compile(
    rb"(?P<samples>(?:\[\s*" + _NUMBER + rb'\s*,\s*"(?:' + _NUMBER + rb'|[+-]?Inf|NaN)"\s*\]\s*,?\s*)+)'
    rb'|(?P<labels>"metric"\s*:\s*\{(?:\s*' + _STRING + rb"\s*:\s*" + _STRING + rb"\s*,?)*\s*\})"
    rb'|(?P<string>"[^"\\]*(?:\\.[^"\\]*)*\\?(?:"|\Z))'
    rb'|(?P<bare>[^"\[]+|\[)',
    re.DOTALL,
)
"""What JSON is made of here. The last string of a body that is cut off ends with the body."""


@dataclass(frozen=True)
class Secret:
    """A text that nobody may see: printable ASCII.

    Attributes:
        text: left out of ``repr``.
        what: it is; people see ``[what]`` in its place.
        is_credential: ``False``: the text may well be the name of something, such as a cluster that a header selects.
            It is then no secret where a series has it as a label.
        is_chosen: by people, who choose words.
    """

    text: str
    what: str = "secret"
    is_credential: bool = True
    is_chosen: bool = False

    def __repr__(self) -> str:
        return f"Secret({len(self.text)} characters)"

    @property
    def head(self) -> bytes:
        """What it is recognized by."""
        return self.text[:HEAD_CHARACTERS].encode()

    @property
    def is_numeral(self) -> bool:
        """Whether a number may look like it."""
        return _NUMERAL.fullmatch(self.text) is not None

    @property
    def is_masked_in_labels(self) -> bool:
        """Whether a label that holds it cannot be an accident, as with the password "prometheus"."""
        is_common = _WORD.fullmatch(self.text) if self.is_chosen else self.text.isdigit()
        is_unlikely = len(self.text) >= UNLIKELY_CHARACTERS and not is_common
        return self.is_credential and (is_unlikely or len(self.text) >= SURELY_UNLIKELY)

    def spans(self, body: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
        """Where the secret is between two places of a body, in any spelling."""
        end = len(body) if end is None else end
        while found := self._head_pattern.search(body, start, end):
            start = found.end()
            if len(self.text) >= WORD_CHARACTERS or _is_word(body, *found.span()):
                start = self._end_of_rest(body, found.end())
                yield found.start(), start

    def masked(self, body: bytes) -> bytes:
        """A body without the secret."""
        parts, done = [], 0
        for start, end in self.spans(body):
            parts += [body[done:start], b"[%b]" % self.what.encode()]
            done = end
        return b"".join([*parts, body[done:]]) if parts else body

    @cached_property
    def _head_pattern(self) -> re.Pattern[bytes]:
        return re.compile(b"".join(_spellings(character).pattern for character in self.text[:HEAD_CHARACTERS]))

    def _end_of_rest(self, body: bytes, end: int) -> int:
        """Where a secret whose head ends at ``end`` ends, or is cut off."""
        for character in self.text[HEAD_CHARACTERS:]:
            found = _spellings(character).match(body, end)
            if not found:
                break
            end = found.end()
        return end


class Secrets:
    """Secrets of one request, to be masked in its answer."""

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        """Secrets that are too short to be looked for are left out."""
        known = {secret for secret in secrets if len(secret.text) >= MIN_CHARACTERS}
        self._secrets = tuple(sorted(known, key=lambda secret: (-len(secret.text), secret.text)))

    def __repr__(self) -> str:
        return f"Secrets({len(self._secrets)})"

    def masked(self, text: str) -> str:
        """A text without the secrets, for messages."""
        body = text.encode("utf-8", "surrogatepass")
        return _without(self._secrets, body).decode("utf-8", "surrogatepass")

    def masked_body(self, body: bytes) -> bytes:
        """A body without the secrets; it is the same object where it holds none.

        They are found as they are, escaped as in JSON, URLs and HTML, and in mixtures of these. Numbers and samples of
        JSON never change, and label values only where the secret cannot be the name of something by chance.

        Args:
            body: text of any kind; it need not be valid.
        """
        if not self._secrets or not self._may_hold_any(body):
            return body
        if not looks_like_json(body):
            return _without(self._secrets, body)
        return _JSON_PARTS.sub(self._masked_part, body)

    def _may_hold_any(self, body: bytes) -> bool:
        # Nearly always nothing is found, and a search for bytes is all that it costs.
        if any(secret.head in body for secret in self._secrets):
            return True
        return any(
            next(secret.spans(body, start, end), None)
            for start, end in _escaped_parts(body)
            for secret in self._secrets
        )

    def _masked_part(self, part: re.Match[bytes]) -> bytes:
        known = self._by_kind.get(part.lastgroup or "", ())
        return _without(known, part[0])

    @cached_property
    def _by_kind(self) -> dict[str, tuple[Secret, ...]]:
        return {
            "string": self._secrets,
            "labels": tuple(secret for secret in self._secrets if secret.is_masked_in_labels),
            "bare": tuple(secret for secret in self._secrets if not secret.is_numeral),
        }


def basic_credentials(user: str, password: str) -> str:
    """What follows ``Basic`` in a header, by RFC 7617."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def secrets_of_basic(user: str, password: str) -> tuple[Secret, ...]:
    """A password in the forms in which it may come back."""
    bare = Secret(password, "password", is_chosen=True)
    encoded = Secret(basic_credentials(user, password).rstrip("="), "password")
    # Where the password alone could be a word, the two together are not.
    together = () if bare.is_masked_in_labels else (Secret(f"{user}:{password}", "password"),)
    return bare, encoded, *together


def secrets_of_bearer(token: str) -> tuple[Secret, ...]:
    """A token in the forms in which it may come back."""
    return (Secret(token if len(token) >= MIN_CHARACTERS else f"Bearer {token}", "token"),)


def _without(secrets: Iterable[Secret], body: bytes) -> bytes:
    for secret in secrets:
        body = secret.masked(body)
    return body


def looks_like_json(body: bytes) -> bool:
    """Whether a body begins as JSON does, be it valid or not."""
    return _JSON_BEGINS.match(body) is not None


def _escaped_parts(body: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each part that has an escape: a JSON string with its quotes, or all that is not JSON."""
    # Three searches for a byte are many times faster than a regular expression.
    places = {escape: body.find(escape) for escape in _ESCAPES}
    if not looks_like_json(body):
        if max(places.values()) >= 0:
            yield 0, len(body)
        return
    end = 0
    while there := [place for place in places.values() if place >= 0]:
        start, end = _string_around(body, min(there), end)
        yield start, end
        places = {e: body.find(e, end) if 0 <= place < end else place for e, place in places.items()}


def _string_around(body: bytes, place: int, earliest: int) -> tuple[int, int]:
    """Start and end of the JSON string that contains a position; an escaped quote does not end it."""
    start, end = place, place
    while (start := body.rfind(b'"', earliest, start)) > earliest and body[start - 1 : start] == b"\\":
        pass
    while (end := body.find(b'"', end) + 1) and body[end - 2 : end - 1] == b"\\":
        pass
    return max(start, earliest), end or len(body)


def _is_word(body: bytes, start: int, end: int) -> bool:
    before = body[max(0, start - _LONGEST_ESCAPE) : start]
    return bool(_BEFORE_WORD.search(before)) and not body[end : end + 1].isalnum()


@cache
def _spellings(character: str) -> re.Pattern[bytes]:
    """A regular expression of the ways to write a character in JSON, a URL, HTML, or a string of Go or Python.

    Each way begins with a literal, so that the search for the first character is fast.
    """
    code = ord(character)
    digits = "".join(f"[{d}{d.upper()}]" if d.isalpha() else d for d in f"{code:02x}").encode()
    plain = re.escape(character.encode())
    ways = [rb"\\\\*[ux](?:00)?" + digits, rb"%(?:25)*" + digits, b"&#0*%d;" % code, b"&#[xX]0*" + digits + b";"]
    if character in _NAMED:
        ways.append(b"&%s;" % _NAMED[character])
    if character in "/\"'\\":
        ways.append(rb"\\\\*" + plain)
    if character == " ":
        ways.append(rb"\+")
    # What is longest comes first: the character itself may begin another way.
    ways.append(plain)
    return re.compile(b"(?:" + b"|".join(ways) + b")", re.DOTALL)
