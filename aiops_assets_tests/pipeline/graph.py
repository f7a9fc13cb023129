"""A run of the whole graph in process over real days, and what it left."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import dagster as dg
import pytest

from aiops_assets.commands.running import dagster_environment
from aiops_assets.families.anomaly_detector import ANOMALY_DETECTOR
from aiops_assets.families.catalog import MODELS
from aiops_assets.pipeline.definitions import definitions_for
from aiops_assets.pipeline.keys import key_of
from aiops_assets.pipeline.partitions import days_to_fetch
from aiops_assets.pipeline.resources import stores_of
from aiops_assets.reporting import plots
from aiops_assets.settings import Settings
from aiops_assets.storage.records import Manifest
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.once import made_once

NAME, ENSEMBLE = "anomaly-detector", "ensemble-predictor"
VIEWS = {NAME: "pod_features", ENSEMBLE: "pod_series"}
CLOSED = "http://127.0.0.1:9"
"""The discard port: nothing listens."""
NOTHING = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b550000000a49444154789c63600000000200"
    "0148afa4710000000049454e44ae426082"
)
"""A PNG of one pixel."""
LINKS = ("training_set", "model", "evaluation", "served")
"""What is made of each model, in order."""
SERVED = LINKS[-1]
Result = dg.ExecuteInProcessResult
small = partial(make_settings, TRAINING_DAYS="3")
"""Three days and the default number of rows are enough to be judged by."""


def asset(kind: str, name: str) -> str:
    """The key of what is made of a model."""
    return key_of(name, kind).to_user_string()


def chain(name: str) -> list[str]:
    """The assets of one model, in order."""
    view = next(spec.view for spec in MODELS if spec.name == name)
    return [view, *(asset(kind, name) for kind in LINKS[1:])]


def aside(name: str) -> list[str]:
    """What nobody is served by, in order."""
    return [asset("shadow", name), asset("card", name)]


def keys(*models: str, fetched: bool = False, told: bool = False, until: str = SERVED) -> list[dg.AssetKey]:
    """The assets that these models need to be served, and with ``told`` also those that tell people of them.

    With ``until``, one of LINKS, the chain of each model ends there.
    """
    sources = ["synthetic_series", "raw_metrics"] if fetched else ["synthetic_series"]
    end = LINKS.index(until) + 1
    needed = [key for name in models for key in [*chain(name)[:end], *(aside(name) if told else ())]]
    return [dg.AssetKey(key) for key in [*sources, *needed]]


@contextmanager
def shipped_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The one of a home, with the instance file that is shipped."""
    with dg.DagsterInstance.from_config(dagster_environment(settings)["DAGSTER_HOME"]) as instance:
        yield instance


@contextmanager
def _instance_of(settings: Settings, lasting: bool) -> Iterator[dg.DagsterInstance]:
    # A home's own takes seconds of a run, to make databases and to write each event into a file.
    with shipped_instance(settings) if lasting else dg.DagsterInstance.ephemeral() as instance:
        yield instance


def generate(
    settings: Settings,
    *models: str,
    told: bool = False,
    raise_on_error: bool = True,
    lasting: bool = False,
    until: str = SERVED,
) -> Result:
    """What is served of these models (both by default) downstream of synthetic_series.

    Args:
        settings: of the home.
        models: names.
        told: also shadow and card, as `make run`.
        raise_on_error: or return the failed result.
        lasting: keep the run's events in the home.
        until: see :func:`keys`.
    """
    with _instance_of(settings, lasting) as instance:
        job = definitions_for(settings).resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            instance=instance,
            asset_selection=keys(*(models or VIEWS), told=told, until=until),
            raise_on_error=raise_on_error,
        )


def run(settings: Settings, only: Sequence[str] = (), raise_on_error: bool = True) -> Result:
    """Everything that these settings train, as `aiops run` selects it in synthetic mode, or the assets so named.

    Args:
        settings: of the home.
        only: ends of the keys of the assets to make; empty: all.
        raise_on_error: or return the failed result.
    """
    with dg.DagsterInstance.ephemeral() as instance:
        definitions = definitions_for(settings)
        job = definitions.resolve_implicit_global_asset_job_def()
        found = [key for key in definitions.resolve_asset_graph().get_all_asset_keys() if key.path[0] != "raw_metrics"]
        wanted = [key for key in found if not only or key.path[0].endswith(tuple(only))]
        return job.execute_in_process(instance=instance, asset_selection=wanted, raise_on_error=raise_on_error)


def materialize(
    settings: Settings,
    raise_on_error: bool = True,
    models: Sequence[str] = (NAME,),
    lasting: bool = False,
    until: str = SERVED,
) -> Result:
    """Assets over the days of the window in one run, as `aiops run` does, of one model unless others are named."""
    days = days_to_fetch(settings, datetime.now(UTC).date())
    tags = {
        "dagster/asset_partition_range_start": days[0].isoformat(),
        "dagster/asset_partition_range_end": days[-1].isoformat(),
    }
    with _instance_of(settings, lasting) as instance:
        job = definitions_for(settings).resolve_job_def("retrain")
        return job.execute_in_process(
            instance=instance,
            tags=tags,
            asset_selection=keys(*models, fetched=settings.mode != "synthetic", until=until),
            raise_on_error=raise_on_error,
        )


def remembered(settings: Settings) -> list[Result]:
    """The runs of a home as its history has them, the oldest first; other processes may have made them."""
    job = definitions_for(settings).resolve_implicit_global_asset_job_def()
    with shipped_instance(settings) as instance:
        runs = [record.dagster_run for record in instance.get_run_records(ascending=True)]
        logs = [instance.all_logs(run.run_id) for run in runs]
    return [
        Result([entry.dagster_event for entry in log if entry.dagster_event], run, None, job)
        for run, log in zip(runs, logs, strict=True)
    ]


@contextmanager
def small_forest() -> Iterator[pytest.MonkeyPatch]:
    """A quarter of the trees: a run reads them eight times. Their number is part of what a version was made of."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(ANOMALY_DETECTOR.parameters, "n_estimators", 50)
        yield patched


def leave_unrendered(patched: pytest.MonkeyPatch) -> None:
    """Pictures are drawn and not rendered from now on, which is a quarter of a run's time."""
    patched.setattr(plots, "rendered", lambda _, __: NOTHING)


def told_home() -> Path:
    """With two versions of each model, made of two seeds in small settings; ``first_home`` is as it was after one."""
    return _two_versions() / "home"


def first_home() -> Path:
    """With one served version of each model, and a card."""
    return _two_versions() / "first"


def _two_versions() -> Path:
    def make(folder: Path) -> None:
        with small_forest() as patched:
            generate(small(folder / "home"), told=True, lasting=True)
            shutil.copytree(folder / "home", folder / "first", symlinks=True)
            leave_unrendered(patched)
            generate(small(folder / "home", RANDOM_SEED="44"), told=True, lasting=True)

    return made_once("generated", make)


def metadata(result: Result, key: str) -> dict[str, object]:
    events = result.get_asset_materialization_events()
    event = next(e for e in events if e.asset_key == dg.AssetKey(key.split("/")))
    return {name: value.value for name, value in event.materialization.metadata.items()}


def checks(result: Result, name: str = NAME) -> dict[str, dg.AssetCheckEvaluation]:
    """Check name -> what it said, of one model's chain and what all share."""
    others = {key for other in VIEWS if other != name for key in chain(other)}
    evaluations = result.get_asset_check_evaluations()
    return {e.check_name: e for e in evaluations if e.asset_key.to_user_string() not in others}


def newest(settings: Settings, name: str = NAME) -> Manifest:
    served = stores_of(settings).served()
    return served.manifest(name, served.versions(name)[-1])


def champion(settings: Settings, name: str = NAME) -> int:
    record = stores_of(settings).served().champion(name)
    assert record
    return record.champion.version
