"""Writes what `/metrics` shows of a run of scores back to a server, where REMOTE_WRITE_URL is set."""

from collections.abc import Callable
from contextlib import suppress
from itertools import chain

import dagster as dg

from aiops_assets.errors import StoreError
from aiops_assets.pipeline.resources import StoresResource
from aiops_assets.prometheus.remote_write import RemoteWriter, samples_of
from aiops_assets.reporting.exposition import shown
from aiops_assets.reporting.metric_exposition import shown_metrics
from aiops_assets.settings import Settings
from aiops_assets.storage.scores import ScoresRun
from aiops_assets.storage.written_back import WriteBack

WRITTEN_BACK = "written_back"


def written_back_spec(asset: dg.AssetKey) -> dg.AssetCheckSpec:
    """The spec of the check."""
    return dg.AssetCheckSpec(
        WRITTEN_BACK,
        asset=asset,
        description="Warns if the server of REMOTE_WRITE_URL did not take all samples. The run is stored all the same.",
    )


def written_back(
    settings: Settings, stores: StoresResource, run: ScoresRun, say: Callable[[str], None]
) -> list[dg.AssetCheckResult]:
    """Send a stored run's samples with the time of the run, and report; where REMOTE_WRITE_URL is not set, what
    earlier runs have written is forgotten.

    What fails is a warning of the check, and never a failure of the scores.
    """
    if settings.remote_write_url is None:
        with suppress(StoreError):
            stores.written_back().forget()
        return []
    writer = RemoteWriter(
        settings.remote_write_url,
        token_file=settings.remote_write_token_file,
        ca_file=settings.remote_write_ca_file,
        tenant=settings.remote_write_tenant or "",
    )
    made_at = run.record.made_at
    now = made_at.timestamp()
    families = chain(shown(run, now), shown_metrics(run, now))
    sent = writer.send(samples_of(families, int(now * 1000)))
    store = stores.written_back()
    with suppress(StoreError):  # the check says it, whether or not it can be kept
        before = store.newest()
        failed = sent.error is not None
        attempt = WriteBack(
            made_at=made_at,
            series=sent.series,
            of=sent.of,
            failures=(before.failures if before else 0) + failed,
            succeeded=(before.succeeded if before else None) if failed else made_at,
            code=sent.error.code if sent.error else "",
            reason=str(sent.error or ""),
        )
        store.put(attempt)
    say(f"{sent.series} of {sent.of} series written back")
    result = dg.AssetCheckResult(
        check_name=WRITTEN_BACK,
        passed=sent.error is None,
        severity=dg.AssetCheckSeverity.WARN,
        description=str(sent.error) if sent.error else None,
        metadata={"series": sent.series, "of": sent.of, "requests": sent.requests},
    )
    return [result]
