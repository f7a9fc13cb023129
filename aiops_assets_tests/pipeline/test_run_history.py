"""What Dagster's history tells about a failed run."""

import dagster as dg
import pytest
from dagster._core.code_pointer import CodePointer, FileCodePointer, ModuleCodePointer
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin

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

    job = dg.define_asset_job("a").resolve(dg.Definitions([working]).resolve_asset_graph())
    with dg.DagsterInstance.ephemeral() as instance:

        def run_of(code: CodePointer | None, status: dg.DagsterRunStatus = dg.DagsterRunStatus.SUCCESS) -> str:
            origin = JobPythonOrigin(job.name, RepositoryPythonOrigin("python", code)) if code else None
            return instance.create_run_for_job(job, status=status, job_code_origin=origin).run_id

        ended = run_of(ModuleCodePointer("a.module", "defs", "."))
        going_on = run_of(ModuleCodePointer("a.module", "defs", "."), dg.DagsterRunStatus.STARTED)
        others = [
            run_of(ModuleCodePointer("other.module", "defs", ".")),
            run_of(FileCodePointer("a/module.py", "defs", ".")),
            run_of(None),
        ]
        assert claim_runs(instance, "a.module") == [ended]
        origins = {run.run_id: run.remote_job_origin for run in instance.get_runs()}
        assert {origins[run_id] for run_id in (going_on, *others)} == {None}
        origin = origins[ended]
        assert origin is not None
        assert (origin.location_name, origin.repository_origin.repository_name) == ("a.module", "__repository__")
        # The list of a job's runs in the UI filters by this tag.
        found = instance.get_runs(dg.RunsFilter(tags={".dagster/repository": "__repository__@a.module"}))
        assert [run.run_id for run in found] == [ended]
        assert claim_runs(instance, "a.module") == []
        assert claim_runs(instance, "other.module") == others[:1]
