"""Label matchers in every selector of a query, proved by the parser."""

import pytest

from aiops_assets.errors import SettingsError
from aiops_assets.timeseries.catalog import METRICS, MetricSpec
from aiops_assets.timeseries.matchers import canonical_matchers, with_matchers
from aiops_assets.timeseries.promql import parse, walk
from aiops_assets.timeseries.queries import queried
from aiops_assets_tests.raising import raises

ONE = 'cluster="a"'


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_each_selector_of_the_catalogue_has_them(metric: MetricSpec) -> None:
    found = queried(metric, 'cluster="a",region=~"eu.*"', 30)
    assert found.scrape_seconds == 30
    for before, after in ((metric.promql, found.promql), (metric.members.promql, found.members.promql)):
        assert after.replace('cluster="a",region=~"eu.*",', "").replace('{cluster="a",region=~"eu.*"}', "") == before
    assert queried(found, 'region=~"eu.*",cluster="a"', 30) == found
    assert queried(metric, "", 60) is metric


@pytest.mark.parametrize(
    ("promql", "matched"),
    [
        ("x", "x{M}"),
        ("x{}", "x{M}"),
        ('x { b="c", }', 'x {M, b="c", }'),
        ('{__name__="x"}', '{M,__name__="x"}'),
        ('{"my.metric", b="c"}', '{M,"my.metric", b="c"}'),
        ('x{b="c" or d="e"}', 'x{M,b="c" or M, d="e"}'),
        ("x{b=\"} y{\", c='\\'}', d=`}`}", "x{M,b=\"} y{\", c='\\'}', d=`}`}"),
        ("x # y {\n+ z # w", "x{M} # y {\n+ z{M} # w"),
        ("rate(x[5m] offset -5m) + y @ 100", "rate(x{M}[5m] offset -5m) + y{M} @ 100"),
        ("x @ start() + y", "x{M} @ start() + y{M}"),
        ("max_over_time(rate(x[5m])[1h:1m] offset 1d)", "max_over_time(rate(x{M}[5m])[1h:1m] offset 1d)"),
        ("sum by (by, x) (x)", "sum by (by, x) (x{M})"),
        ("sum(x) without (y)", "sum(x{M}) without (y)"),
        ("AVG(x) BY (pod)", "AVG(x{M}) BY (pod)"),
        ("a / on (b) group_left (c) d", "a{M} / on (b) group_left (c) d{M}"),
        ("a*ignoring(b)group_right()c", "a{M}*ignoring(b)group_right()c{M}"),
        ("a and b or c unless d atan2 e", "a{M} and b{M} or c{M} unless d{M} atan2 e{M}"),
        ("a == bool on(x) b", "a{M} == bool on(x) b{M}"),
        ("topk(3, x) + count_values('v', y)", "topk(3, x{M}) + count_values('v', y{M})"),
        ("quantile by (a) (scalar(y), x)", "quantile by (a) (scalar(y{M}), x{M})"),
        ("1e3 * x + 0x1f - Inf * NaN * y", "1e3 * x{M} + 0x1f - Inf * NaN * y{M}"),
        ("sum(sum) + rate(rate[5m]) + by + offset", "sum(sum{M}) + rate(rate{M}[5m]) + by{M} + offset{M}"),
        ("a:b:rate5m", "a:b:rate5m{M}"),
        ("-(x)", "-(x{M})"),
        ("absent(x{b='c'})", "absent(x{M,b='c'})"),
        ("vector(1) + time()", "vector(1) + time()"),
        ("holt_winters(x[1h], 0.1, 0.2)", "holt_winters(x{M}[1h], 0.1, 0.2)"),
    ],
)
def test_the_text_is_changed_at_its_selectors_only(promql: str, matched: str) -> None:
    expected = matched.replace("M", ONE)
    assert with_matchers(promql, ONE) == expected
    assert with_matchers(expected, ONE) == expected
    assert with_matchers(promql, "") == promql


def test_a_query_of_another_cluster_stays_one_that_finds_nothing() -> None:
    assert with_matchers('x{cluster="b"}', ONE) == 'x{cluster="a",cluster="b"}'
    assert with_matchers('x{cluster="a"} + y', ONE) == 'x{cluster="a",cluster="a"} + y{cluster="a"}'


@pytest.mark.parametrize(
    "promql",
    ["x default 0", "info(x)", "sum(x", "with (a = b) a", "x{job='$job'", "on{a='b'}", "(" * 100 + "x" + ")" * 100],
)
def test_a_query_in_which_a_selector_may_be_missed_is_refused(promql: str) -> None:
    with raises(SettingsError, "unmatchable_query", matchers=ONE):
        with_matchers(promql, ONE)
    assert with_matchers(promql, "") == promql


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("", ""),
        ("  ", ""),
        (' cluster = "a" , ', 'cluster="a"'),
        ("cluster='a', region=~`eu.*`, zone!='', rack!~\"r.\"", 'cluster="a",region=~"eu.*",zone!="",rack!~"r."'),
        (r'a="\"}\\"', r'a="\"}\\"'),
        ('a="é\\n"', r'a="é\n"'),
        ('"k8s.cluster"="a"', '"k8s.cluster"="a"'),
        ('a="b" # the first', 'a="b"'),
    ],
)
def test_matchers_have_one_form(text: str, canonical: str) -> None:
    assert canonical_matchers(text) == canonical
    assert canonical_matchers(canonical) == canonical
    expr = parse(with_matchers("x", text))
    assert expr is not None
    assert len(list(walk(expr))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a=b",
        "cluster",
        "{a='b'}",
        "a='b'} or y{c='d'",
        "a='b'} # c",
        "a='b' or c='d'",
        "a='b' c='d'",
        "__name__='x'",
        '"x"',
        "a='$cluster'",
        "a=~'('",
        "a='b",
        "a=~'" + "x" * 1000 + "'",
    ],
)
def test_what_is_not_a_list_of_matchers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        canonical_matchers(text)
