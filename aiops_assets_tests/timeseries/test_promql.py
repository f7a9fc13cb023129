"""PromQL as promql-parser reads it, and as text."""

import threading

import pytest

from aiops_assets.timeseries.catalog import METRICS, MetricSpec
from aiops_assets.timeseries.promql import RateRange, check_query, parse, rate_ranges, reach_seconds
from aiops_assets.timeseries.promql_text import UnreadableQuery, tokens
from aiops_assets.timeseries.queries import notes_on_query, settle_seconds

DAY = 86_400


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_the_catalogue_is_read(metric: MetricSpec) -> None:
    for promql in (metric.promql, metric.members.promql):
        assert parse(promql) is not None
        check_query(promql)
    assert notes_on_query(metric) == ()


@pytest.mark.parametrize(
    ("promql", "longest", "ahead"),
    [
        ("up", 0, 0),
        ("rate(a[1h30m])", 5400, 0),
        ("rate(a[1w])", 7 * DAY, 0),
        ("rate(a[300000ms])", 300, 0),
        ("rate(a[ 5m ])", 300, 0),
        ("rate(a[300])", 300, 0),
        ("rate(a[5m]) / rate(b[1d12h])", 1.5 * DAY, 0),
        ("max_over_time(rate(a[5m])[2d:5m])", 2 * DAY, 0),
        ("max_over_time(rate(a[2d])[5m:])", 2 * DAY, 0),
        ("topk(scalar(max_over_time(b[1h])), a)", 3600, 0),
        ("a offset 1d", 0, 0),
        ("a offset -5m", 0, 300),
        ("rate(a[5m] offset -1h)", 300, 3600),
        ("max_over_time((a offset -1h)[2h:] offset -30m) + b offset -70m", 7200, 5400),
        ("max_over_time((a offset -1h)[2h:] offset 30m)", 7200, 1800),
        ('a{b="[5d]"} # [6d]', 0, 0),
        # Not PromQL, but VictoriaMetrics'.
        ("rate(a[1.5h]) default 0", 5400, 0),
        ("sum(a[90]) default 0 offset -5m", 90, 300),
        ("rate(a[5m:1m]) keep_metric_names", 300, 0),
    ],
)
def test_all_ranges_and_offsets_count(promql: str, longest: float, ahead: float) -> None:
    assert reach_seconds(promql) == (longest, ahead)
    spec = MetricSpec(name="a", promql=promql, count="count(a)", unit="count", per="cluster", description="a")
    assert settle_seconds(spec) == max(150, longest) + ahead


def test_rates_are_found_with_their_ranges() -> None:
    found = rate_ranges('sum(rate(a{b="c"}[1h30m])) / increase((b[2m])) + rate(max_over_time(c[1m])[1m:]) + d')
    assert found == (RateRange("rate", 5400), RateRange("increase", 120))
    assert rate_ranges("rate(a[1m]) default 0") == rate_ranges("rate(a[1m]") == ()


@pytest.mark.parametrize(
    ("promql", "code"),
    [
        ("sum(rate(a[5m])", "unclosed_bracket"),
        ("a{b='c'", "unclosed_bracket"),
        ("a[5m", "unclosed_bracket"),
        ("sum(a]", "wrong_bracket"),
        ("a)", "wrong_bracket"),
        ('a{b="c}', "unclosed_string"),
        ("a{b=`c}", "unclosed_string"),
        ("a ; b", "stray_sign"),
        ("a & b", "stray_sign"),
        ("", "empty_query"),
        (" # a", "empty_query"),
        ("rate(a[$__rate_interval])", "variable"),
        ("$metric", "variable"),
        ("rate(${metric}[5m])", "variable"),
        ("rate(a[[[interval]]])", "variable"),
        ('a{b="$c"}', "variable"),
        ('a{b=~"x|${c}"}', "variable"),
        ('{__name__="[[metric]]"}', "variable"),
        ("time()", "other_kind"),
        ("-(1)", "other_kind"),
        ('("a")', "other_kind"),
        ("(a[5m])", "other_kind"),
        ("a[5m:]", "other_kind"),
        ("a @ start()", "at_bounds"),
        ("sum(max_over_time(a[1h:] @ end()))", "at_bounds"),
    ],
)
def test_what_no_server_can_make_series_of_is_refused(promql: str, code: str) -> None:
    with pytest.raises(UnreadableQuery) as refused:
        check_query(promql)
    assert refused.value.code == code
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    "promql",
    [
        'a{b=~"c$"}',
        'a{b=~"(c|d$)|[[:alpha:]]+"}',
        'label_replace(a, "b", "$1-${2}", "c", "(.*)-(.*)")',
        "vector(scalar(a))",
        "a * time()",
        "a @ 1700000000",
        "a and on () vector(1)",
        "{__name__='a.b', c!~`d`}",
        "  sum ( a )  # done",
    ],
)
def test_what_looks_alike_and_is_right_is_taken(promql: str) -> None:
    check_query(promql)


def test_a_query_that_is_nested_too_deeply_for_the_parser_is_left_to_the_server() -> None:
    assert parse("(" * 30 + "a" + ")" * 30) is not None
    deep = ("(" * 3000 + "a" + ")" * 3000, "-" * 9000 + "a", "a" + "^a" * 4000, "abs(" * 2000 + "a" + ")" * 2000)

    def read() -> None:
        found.extend(parse(promql) for promql in deep)

    found: list[object] = []
    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert found == [None] * len(deep)
    for promql in deep:
        check_query(promql)
        assert reach_seconds(promql) == (0, 0)


def test_tokens_know_their_places() -> None:
    promql = 'max_over_time(job:a:sum{b="c"}[1h:5m] offset -1e3) # done\n+ .5 >= bool b'
    found = tokens(promql)
    assert [promql[token.start : token.end] for token in found] == [token.text for token in found]
    kinds = "wbwbwosbbnonb"  # of each kind the first letter: word, bracket, operator, string, number
    assert "".join(token.kind[0] for token in found[:13]) == kinds
    assert [token.text for token in found[13:]] == ["offset", "-", "1e3", ")", "+", ".5", ">=", "bool", "b"]
