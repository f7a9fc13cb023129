"""What Dagster's history tells about a failed run."""

import dagster as dg
import pytest

from aiops_assets.errors import DataError
from aiops_assets.pipeline.run_history import claim_runs, failure_of


class Refusal(Exception):
    """An exception of another module than ``errors``."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (DataError("2 errors. in the file: none"), "DataError"),
        (DataError("see http://errors.example: it\nsays more"), "DataError"),
        (Refusal("a: b"), "Refusal"),
        (ValueError("no: errors.here"), "ValueError"),
        (Refusal(), "Refusal"),
    ],
)
def test_a_failure_is_named_with_its_whole_message(error: Exception, kind: str) -> None:
    message = "".join(f": {line}" for line in str(error).splitlines()[:1])

    @dg.asset
    def failing() -> None:
        raise error

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([failing], instance=instance, raise_on_error=False)
        assert failure_of(instance, result.run_id) == f"failing: {kind}{message}"


def test_a_run_without_a_failure_has_nothing_to_tell() -> None:
    @dg.asset
    def working() -> None: ...

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([working], instance=instance)
        assert failure_of(instance, result.run_id) == ""


def test_runs_that_have_ended_without_a_code_location_get_one_once() -> None:
    @dg.asset
    def working() -> None: ...

    with dg.DagsterInstance.ephemeral() as instance:
        ended = dg.materialize([working], instance=instance).run_id
        going_on = instance.create_run_for_job(
            dg.define_asset_job("a").resolve(dg.Definitions([working]).resolve_asset_graph())
        ).run_id
        assert claim_runs(instance, "a.module") == [ended]
        origins = {run.run_id: run.remote_job_origin for run in instance.get_runs()}
        assert origins[going_on] is None
        origin = origins[ended]
        assert origin is not None
        assert (origin.location_name, origin.repository_origin.repository_name) == ("a.module", "__repository__")
        # The list of a job's runs in the UI filters by this tag.
        found = instance.get_runs(dg.RunsFilter(tags={".dagster/repository": "__repository__@a.module"}))
        assert [run.run_id for run in found] == [ended]
        assert claim_runs(instance, "another.module") == []
