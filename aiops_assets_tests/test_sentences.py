"""How many tests hang on wording; the number may only fall."""

from aiops_assets_tests.sentences import ROOT, is_sentence, sentences_by_test

MOST = 0.05
"""Share of the test functions. The aim is a tenth; a step towards it lowers this number."""


def test_few_tests_assert_on_sentences() -> None:
    found = {path.relative_to(ROOT).as_posix(): sentences_by_test(path) for path in sorted(ROOT.rglob("test_*.py"))}
    tests = sum(map(len, found.values()))
    asserting = [f"{file}::{name}" for file, of in found.items() for name, sentences in of.items() if sentences]
    assert len(asserting) <= MOST * tests, f"{len(asserting)} of {tests} assert on a sentence: {asserting}"


def test_a_sentence_has_four_words() -> None:
    assert is_sentence("no model of that name")
    assert is_sentence(r"no\smodel of (that) name")
    assert not is_sentence("no such model")
    assert not is_sentence("sum(rate(a_b{c='d'}[5m])) by (pod) / 2")
