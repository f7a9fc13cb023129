"""What the validation of a view refuses, compared by codes, facts and words."""

from collections.abc import Callable, Iterable

import pandas as pd

from aiops_assets.errors import SchemaError
from aiops_assets_tests.raising import raises
from aiops_assets_tests.snapshot import assert_snapshot

Change = Callable[[pd.DataFrame], pd.DataFrame]
Refusal = tuple[Change, str, dict[str, object]]
"""What is done to good rows, and code and facts of the error that follows."""


def assert_refused(
    validate: Callable[[pd.DataFrame], object], rows: pd.DataFrame, refusals: Iterable[Refusal], snapshot: str
) -> None:
    """Each change is refused as the table says, and in the words of the snapshot."""
    texts = []
    for change, code, facts in refusals:
        with raises(SchemaError, code, **facts) as caught:
            validate(change(rows))
        texts.append(str(caught.value))
    assert_snapshot(snapshot, "".join(f"{text}\n" for text in texts))
