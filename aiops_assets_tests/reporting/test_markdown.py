"""What others wrote is shown as it is, whatever it holds."""

import re

import pytest

from aiops_assets.reporting.cards.markdown import code, table, text


@pytest.mark.parametrize(
    ("written", "escaped"),
    [
        ("plain words, 0.5 % (x) - y & z!", "plain words, 0.5 % (x) - y & z!"),
        ("memory_leak in my_pod", "memory_leak in my_pod"),
        ("_so_ *loud*", r"\_so\_ \*loud\*"),
        ("<img src=x onerror=alert(1)>", r"\<img src=x onerror=alert(1)\>"),
        ("[click](http://x)", r"\[click\](http://x)"),
        ("a | b", r"a \| b"),
        ("a `b` \\ ~~c~~", r"a \`b\` \\ \~\~c\~\~"),
        ("&lt;script&gt;", r"\&lt;script\&gt;"),
        ("# heading", r"\# heading"),
        ("- item", r"\- item"),
        ("12. item", r"12\. item"),
        ("12.5 rows", "12.5 rows"),
        ("two\n\nlines\tof it ", "two lines of it"),
        ("", ""),
        (7, "7"),
    ],
)
def test_sentences(written: object, escaped: str) -> None:
    assert text(written) == escaped


@pytest.mark.parametrize(
    ("written", "span"),
    [
        ("cpu", "`cpu`"),
        ("sum(x) by (pod)", "`sum(x) by (pod)`"),
        ('{a=~"b|c"}', r'`{a=~"b\|c"}`'),
        ("a`b", "``a`b``"),
        ("`", "`` ` ``"),
        ("``x", "``` ``x ```"),
        ("a\nb", "`a b`"),
        ("", "`  `"),
        (3, "`3`"),
    ],
)
def test_code_spans(written: object, span: str) -> None:
    assert code(written) == span


def test_a_bar_in_a_cell_makes_no_column() -> None:
    lines = table(["a", "b"], [[text("x|y"), code("p|q")], ["1", "2"]])
    assert lines[1] == "| --- | --- |"
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {3}
