"""The fast reader of matrices held against the plain one."""

import json
from collections.abc import Callable

import numpy as np
import pytest

from aiops_assets.errors import PrometheusAnswerError, PrometheusError
from aiops_assets.prometheus import matrix as module
from aiops_assets.prometheus.answers import series_name
from aiops_assets.prometheus.matrix import Matrix, read_matrix
from aiops_assets.prometheus.transport import Answer
from aiops_assets_tests.prometheus.answering import T0, matrix
from aiops_assets_tests.raising import raises

POINTS, STEP = 12, 300
Outcome = Matrix | type[PrometheusError]


def read(body: bytes, *, fast: bool) -> Outcome:
    try:
        return read_matrix(Answer(200, {}, body), "up", T0, POINTS, STEP, fast=fast)
    except PrometheusError as error:
        return type(error)


def assert_same(body: bytes) -> Outcome:
    """Both readers yield the same numbers, or the same class of error."""
    fast, plain = read(body, fast=True), read(body, fast=False)
    if isinstance(fast, Matrix) and isinstance(plain, Matrix):
        assert (fast.names, fast.not_finite) == (plain.names, plain.not_finite)
        np.testing.assert_array_equal(fast.values, plain.values, strict=True)
    else:
        assert fast is plain, body
    return fast


def is_fast(body: bytes) -> bool:
    return module._read_text(Answer(200, {}, body), "up", len(str(T0))) is not None


def random_body(rng: np.random.Generator, n_series: int) -> bytes:
    """Series with gaps and values of every kind."""
    kinds: list[Callable[[], str]] = [
        lambda: repr(float(rng.normal())),
        lambda: repr(float(10 ** rng.uniform(-300, 300))),
        lambda: str(rng.integers(-5, 10**15)),
        lambda: str(rng.choice(["NaN", "+Inf", "-Inf", "0", "-0", "1e+06", "5e-324"])),
    ]
    series = []
    for i in range(n_series):
        places = np.flatnonzero(rng.random(POINTS) < 0.8)
        values: list[list[object]] = [[T0 + int(p) * STEP, kinds[rng.integers(4)]()] for p in places]
        series.append(({"pod": f"pod-{i}", "namespace": "demo"}, values))
    return matrix(*series).body


def test_random_matrices_are_read_alike_and_fast() -> None:
    rng = np.random.default_rng(3)
    for _ in range(100):
        body = random_body(rng, int(rng.integers(1, 6)))
        assert isinstance(assert_same(body), Matrix)
        assert is_fast(body) or b'"values":[]' in body


def test_a_damaged_byte_is_read_alike() -> None:
    rng = np.random.default_rng(4)
    alphabet = b'0123456789.,eE+-NaInf[]{}":\\ \t\n\x00x\xff'
    numbers = 0
    for _ in range(2500):
        body = bytearray(random_body(rng, 2))
        at = int(rng.integers(len(body)))
        damage = int(rng.integers(3))
        if damage == 0:
            del body[at]
        elif damage == 1:
            body[at] = alphabet[rng.integers(len(alphabet))]
        else:
            body.insert(at, alphabet[rng.integers(len(alphabet))])
        numbers += isinstance(assert_same(bytes(body)), Matrix)
    assert 250 < numbers < 2250  # both outcomes were met, many times


def test_series_without_a_gap_are_read_alike_whatever_is_put_into_them() -> None:
    rng = np.random.default_rng(6)
    tokens = [
        b" ",
        b"\n",
        b",",
        b'"',
        b"[",
        b"]",
        b"],[",
        b'","',
        b"0",
        b"-",
        b"x",
        b"nan(1)",
        b"Inf",
        b"\xff",
        b"\\u0031",
    ]
    numbers = 0
    for _ in range(1500):
        series = [({"pod": f"{i}"}, [[T0 + p * STEP, repr(rng.normal())] for p in range(POINTS)]) for i in range(2)]
        body = matrix(*series).body
        assert is_fast(body)
        at, token = int(rng.integers(body.index(b"[["), len(body))), tokens[rng.integers(len(tokens))]
        kept = at + int(rng.integers(3))
        numbers += isinstance(assert_same(body[:at] + token + body[kept:]), Matrix)
    assert 50 < numbers < 1450  # both outcomes were met, many times


def test_a_body_that_is_cut_off_anywhere_is_read_alike() -> None:
    body = random_body(np.random.default_rng(5), 3)
    outcomes = [assert_same(body[:n]) for n in range(len(body))]
    assert not any(isinstance(outcome, Matrix) for outcome in outcomes)


@pytest.mark.parametrize(
    "value",
    ["]]", ',"values":[[', ',"values":[[1,"2"]]', '"', "\\", '\\"', "{", "}", "é☃\U0001f600", "\x00\n", "[[0]]", ""],
)
def test_labels_may_hold_anything(value: str) -> None:
    values: list[list[object]] = [[T0, "1"], [T0 + STEP, "2"]]
    body = matrix(({"a": value}, values), ({value or "b": "c"}, values)).body
    got = assert_same(body)
    assert isinstance(got, Matrix)
    assert got.names == (series_name({"a": value}), series_name({value or "b": "c"}))
    assert is_fast(body)


def test_values_that_are_not_finite_are_counted() -> None:
    values: list[list[object]] = [[T0 + i * STEP, v] for i, v in enumerate(["NaN", "+Inf", "-Inf", "Inf", "3"])]
    body = matrix(({}, values), ({"a": "b"}, [])).body
    for got in (assert_same(body), assert_same(matrix(({}, values)).body)):
        assert isinstance(got, Matrix)
        assert got.not_finite == 4
        np.testing.assert_array_equal(got.values[0], [np.nan] * 4 + [3] + [np.nan] * (POINTS - 5))


def test_no_series_is_an_empty_matrix() -> None:
    got = assert_same(matrix().body)
    assert isinstance(got, Matrix)
    assert (got.names, got.values.shape, got.not_finite) == ((), (0, POINTS), 0)


@pytest.mark.parametrize(
    "samples",
    [
        '[{t}, "1"]',  # a space, as pretty-printed JSON has it
        '[{t},"1"] ',
        '[{t}.0,"1"]',
        '[{t},"\\u0031"]',
        "[{t},1]",
        '[{t},""]',
        '[{t},""],[{u},"1"]',
        '[{t},"1_0"]',
        '[{t},"+5"]',
        '[{t},"1e999"]',
        '[{t},"0x10"]',
        '[{t},"infinity"]',
        '[{t},"nan"]',
        '[{t},"nan(1)"]',
        '[{t},"-nan"]',
        '[{t}," 1"]',
        '[{t},"1 "]',
        '[{t},"[1"]',
        '[{t},"1]"]',
        '[{t},"1],["]',
        '[{t},"1,2"]',
        '[{t},"0x1p3"]',
        '[{t},"1e5"],[{u},"1E-5"]',
        '[{t},"."],[{u},"1"]',
        '[{t},"NaN(1)"],[{u},"NaN"]',
        '[{t},"+Inf"],[{u},"+inf"]',
        '[{t},"1\\"],[{u},"1"]',
        '[0x69a3cc80,"1"]',
        '[0X69A3CC80,"1"]',
        '[0072366400,"1"]',
        '[-772366400,"1"]',
        '[+772366400,"1"]',
        '[17723 6400,"1"]',
        '[17723\n6400,"1"]',
        '[17723,6400,"1"]',
        '[{t},"1"][,{u},"1"]',
        '[{t},"1"],,{u},"1"]',
        '[{t},"1"],[{u}["1"]',
        '[{t},"1\n"]',
        '[{t},"1","2"]',
        '[0{t},"1"]',
        '[{t}.,"1"]',
        '[{t},1"1"]',
        '[{t},"1"2]',
        '["{t}","1"]',
        '[NaN,"1"]',
        '[{t},"1"],',
        '[{t},"1"],[]',
        '[{t},"\t1"]',
        '[{t},"1"],[{t},"1"]',
        "0",
        "[0]",
        "[[0]]",
        '[{t},"1"]],"values":[[0]',
        '[{t},"1"]],"values":[[{t},"2"]',
    ],
)
def test_text_that_is_not_quite_what_servers_write_is_read_alike(samples: str) -> None:
    skeleton = '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[%s]}]}}'
    assert_same((skeleton % samples.replace("{t}", str(T0)).replace("{u}", str(T0 + STEP))).encode())


def test_pretty_printed_json_and_another_order_of_keys_are_read() -> None:
    document = json.loads(matrix(({"a": "b"}, [[T0, "1"], [T0 + STEP, "2"]])).body)
    for item in document["data"]["result"]:
        item["metric"] = item.pop("metric")  # now after the values
    for body in (json.dumps(document), json.dumps(document, indent=2), json.dumps(document, separators=(",", ":"))):
        got = assert_same(body.encode())
        assert isinstance(got, Matrix)
        assert not is_fast(body.encode())
        np.testing.assert_array_equal(got.values[0, :2], [1, 2])


def test_the_series_that_is_off_the_grid_is_named() -> None:
    good, bad = [[T0, "1"], [T0 + STEP, "1"]], [[T0, "1"], [T0, "1"]]
    body = matrix(({"pod": "good"}, list(good)), ({"pod": "bad"}, list(bad)), ({"pod": "last"}, list(good))).body
    for fast in (True, False):
        with raises(PrometheusAnswerError, "off_grid", series='{"pod":"bad"}'):
            read_matrix(Answer(200, {}, body), "up", T0, POINTS, STEP, fast=fast)
