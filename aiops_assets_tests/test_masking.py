"""Secrets in answers: every spelling is found, and what only looks like one stays."""

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from aiops_assets.masking import Secret, Secrets, basic_credentials, secrets_of_basic, secrets_of_bearer

TOKEN = "a+b/c=Very&Secret<To\"ken>'s\\end"
JWT = "eyJhbGciOiJSUzI1NiIsImtpZCI6IjEyMyJ9." + "x_-9" * 200 + ".c2ln"


def escaped(text: str) -> str:
    """All characters as JSON may write them."""
    return "".join(f"\\u{ord(one):04X}" for one in text)


SPELLED: dict[str, Callable[[str], str]] = {
    "plain": str,
    "json": lambda text: json.dumps(text)[1:-1],
    "json with slashes": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "json, all": escaped,
    "json, one": lambda text: text[:3] + escaped(text[3]) + json.dumps(text[4:])[1:-1],
    "json in json": lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1],
    "all in json in json": lambda text: json.dumps(escaped(text))[1:-1],
    "url": lambda text: quote(text, safe=""),
    "url, lower case": lambda text: "".join(f"%{ord(one):02x}" for one in text),
    "url twice": lambda text: quote(quote(text, safe=""), safe=""),
    "form": quote_plus,
    "html": html.escape,
    "html, numbers": lambda text: "".join(f"&#{ord(one)};" for one in text),
    "html, hex": lambda text: "".join(f"&#x{ord(one):X};" for one in text),
    "python": lambda text: "".join(f"\\x{ord(one):02x}" for one in text),
}


@pytest.mark.parametrize("secret", [TOKEN, JWT, "pass word 1!", "very-secret", "Zw9$"])
@pytest.mark.parametrize("spelled", SPELLED.values(), ids=SPELLED)
def test_every_spelling_is_masked(secret: str, spelled: Callable[[str], str]) -> None:
    secrets = Secrets([Secret(secret, "token")])
    text = spelled(secret)
    assert secrets.masked(f"before {text} after") == "before [token] after"
    page = f"<p>before {text} after</p>".encode()
    assert secrets.masked_body(page) == b"<p>before [token] after</p>"


JSON_SPELLED = [name for name in SPELLED if name not in ("plain", "html")]
"""In a JSON string a quote is never as it is."""


@pytest.mark.parametrize("spelled", [SPELLED[name] for name in JSON_SPELLED if name != "python"])
@pytest.mark.parametrize("where", ["error", "warnings", "labels", "label name", "value", "cut off"])
def test_json_stays_json_and_holds_no_secret_in_any_field(spelled: Callable[[str], str], where: str) -> None:
    text = spelled(TOKEN)
    bodies = {
        "error": '{"status":"error","errorType":"x","error":"for Bearer %s: no"}',
        "warnings": '{"status":"success","data":{"resultType":"vector","result":[]},"warnings":["a","%s"]}',
        "labels": '{"data":{"result":[{"metric":{"pod":"%s","a":"b"},"values":[[1,"2"],[3,"4"]]}]}}',
        "label name": '{"data":{"result":[{"metric":{"%s":"p"},"values":[[1,"2"],[3,"4"]]}]}}',
        "value": '{"data":{"result":[{"metric":{"pod":"p"},"values":[[1,"2"],[3,"%s"]]}]}}',
        "cut off": '{"status":"error","error":"for %s',
    }
    masked = Secrets(secrets_of_bearer(TOKEN)).masked_body((bodies[where] % text).encode()).decode()
    assert masked == bodies[where] % "[token]"
    if where != "cut off":
        json.loads(masked)


def test_basic_authentication_is_masked_also_as_it_is_sent() -> None:
    secrets = Secrets(secrets_of_basic("me", "pa:ss/phrase+1"))
    sent = basic_credentials("me", "pa:ss/phrase+1")
    assert base64.b64decode(sent) == b"me:pa:ss/phrase+1"
    shown = "[password]" + "=" * sent.count("=")
    assert secrets.masked(f"Basic {sent}, again") == f"Basic {shown}, again"
    assert secrets.masked(quote(f"me:pa:ss/phrase+1 {sent}")) == f"me%3A[password]%20{quote(shown, safe='[]')}"


def test_a_token_that_is_cut_off_is_masked() -> None:
    assert Secrets(secrets_of_bearer(JWT)).masked(f"no: Bearer {JWT[:50]}...") == "no: Bearer [token]..."


MATRIX = (
    b'{"status":"success","data":{"resultType":"matrix","result":['
    b'{"metric":{"pod":"pod-1234","job":"prometheus","node":"1234"},'
    b'"values":[[1764460800,"1234"],[1764460860.25,"0.12345678"],[1764460920,"1.5e+06"],[1764460980,"NaN"]]}]},'
    b'"stats":{"seriesFetched":"1234","samples":1764460800}}'
)


@pytest.mark.parametrize("secret", ["1", "a", "pod", "12", "=", '"', ":[", "su"])
def test_a_secret_of_one_to_three_characters_changes_no_answer(secret: str) -> None:
    for secrets in (secrets_of_bearer(secret), secrets_of_basic("me", secret)):
        assert Secrets(secrets).masked_body(MATRIX) is MATRIX
        assert (
            Secrets(secrets).masked("no answer from http://host:9090 (pod 1)")
            == "no answer from http://host:9090 (pod 1)"
        )


def test_a_short_secret_is_masked_where_it_says_that_it_is_one() -> None:
    assert Secrets(secrets_of_bearer("abc")).masked("for Bearer abc, not Bearer abcd") == "for [token], not Bearer abcd"
    secrets = Secrets(secrets_of_basic("me", "abc"))
    assert secrets.masked(f"me:abc and {basic_credentials('me', 'abc')}!") == "[password] and [password]!"


@pytest.mark.parametrize(
    "secret", ["1234", "1764460800", "0.12345678", "1.5e+06", "status", "prometheus", "values", "pod"]
)
def test_numbers_samples_and_labels_stay_whatever_the_secret(secret: str) -> None:
    masked = json.loads(Secrets(secrets_of_basic("me", secret)).masked_body(MATRIX))
    assert json.dumps(masked).count("[password]") <= 1  # a string that is no label: seriesFetched, or a key
    if "data" in masked and "result" in masked["data"]:
        [series] = masked["data"]["result"]
        assert series["metric"] == {"pod": "pod-1234", "job": "prometheus", "node": "1234"}
        if "values" in series:
            assert series["values"] == json.loads(MATRIX)["data"]["result"][0]["values"]


def test_a_token_is_masked_in_labels_and_a_password_that_is_a_word_only_beside_its_user() -> None:
    body = '{"data":{"result":[{"metric":{"pod":"%s-0","said":"me:%s"}}]}}'
    word = body % ("prometheus", "prometheus")
    assert Secrets(secrets_of_bearer("prometheus")).masked_body(word.encode()).decode() == body % ("[token]", "[token]")
    masked = Secrets(secrets_of_basic("me", "prometheus")).masked_body(word.encode()).decode()
    assert masked == body.replace("me:%s", "%s") % ("prometheus", "[password]")


def test_a_header_that_names_something_is_no_secret_in_labels() -> None:
    secrets = Secrets([Secret("production-eu-west-1", "X-Cluster", is_credential=False)])
    body = b'{"data":{"result":[{"metric":{"cluster":"production-eu-west-1"}}]},"error":"production-eu-west-1"}'
    assert secrets.masked_body(body) == body.replace(b'"error":"production-eu-west-1"', b'"error":"[X-Cluster]"')


def test_a_body_without_a_secret_is_not_copied() -> None:
    secrets = Secrets([*secrets_of_bearer(JWT), *secrets_of_basic("me", "hunter2x!")])
    for body in (
        MATRIX,
        MATRIX.replace(b"pod-1234", b"a\\u003cb\\/%20&amp;\\\\"),
        b"<html>&nbsp;%20",
        b"",
        b'{"a":"\\',
    ):
        assert secrets.masked_body(body) is body


def test_nothing_shows_a_secret() -> None:
    secret = Secret("very-secret")
    assert "very" not in f"{secret!r} {Secrets([secret])!r} {secrets_of_bearer('very-secret')!r}"
