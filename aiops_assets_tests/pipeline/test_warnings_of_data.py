"""What the checks of a training set say of fill-ins, and how warnings of checks reach `aiops run`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from aiops_assets.commands.progress import Progress
from aiops_assets.commands.summary import stated_source
from aiops_assets.commands.tables import console
from aiops_assets.datasets.known import notes_on, notes_on_nodes, unknown_metrics
from aiops_assets.pipeline.checks import training_set_checks
from aiops_assets.pipeline.progress import progress_logger
from aiops_assets.pipeline.resources import stores_of, tracking_of
from aiops_assets.pipeline.run_lines import LOGGER_NAME, read_line
from aiops_assets.registry.lineage import LineageReader
from aiops_assets.storage.handoff import TrainingSetRef
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.records import FewerNodes, KnownMetric, SourceReport
from aiops_assets.storage.storage import LocalStorage
from aiops_assets.synthetic.pods import generate
from aiops_assets.timeseries.catalog import NODE_CPU, NODE_MEMORY, POD_MEMORY
from aiops_assets.views.catalog import POD_FEATURES, VIEWS
from aiops_assets_tests.conftest import END, make_settings
from aiops_assets_tests.datasets.pod_lake import PODS, fill, made_of, pods, without_limit
from aiops_assets_tests.pipeline.graph import NAME, checks, materialize, newest
from aiops_assets_tests.prometheus_server import running_prometheus, scrape, write_blocks

WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainingSetRef]:
    """A home with the training set of a cluster in which two of twelve pods have a limit."""
    home = tmp_path_factory.mktemp("home")
    lake = Lake(LocalStorage(home / "lake"), "default")
    fill(lake, pods(), without_limit(*range(2, PODS)))
    rows, record = made_of(lake, POD_FEATURES, home)
    stores_of(make_settings(home)).training_sets().put(rows, record)
    return home, TrainingSetRef(
        view=record.view,
        data_version=record.data_version,
        effective_source=record.effective_source,
        source=record.source,
    )


def checked(home: Path, ref: TrainingSetRef) -> dict[str, dg.AssetCheckResult]:
    settings = make_settings(home)
    found: Any = training_set_checks(VIEWS[POD_FEATURES])(ref, settings=settings, stores=stores_of(settings))
    return {str(one.check_name): one for one in found}


def test_a_metric_that_many_pods_lack_warns(stored: tuple[Path, TrainingSetRef]) -> None:
    home, ref = stored
    found = checked(home, ref)
    known = found["known_metrics"]
    assert (known.passed, known.severity) == (False, WARN)
    assert known.description == notes_on(ref.source.known)[0].text
    assert known.metadata[f"known_{POD_MEMORY.name}"].value == pytest.approx(1 / 3)
    assert {name for name, one in found.items() if not one.passed} == {"known_metrics"}


def test_a_metric_that_no_row_knows_stops(stored: tuple[Path, TrainingSetRef]) -> None:
    home, ref = stored
    nothing = KnownMetric(share=0.0, rows=10, known=0, pods=2, lacking=2, window_pods=3, window_lacking=2)
    source = ref.source.model_copy(update={"known": {POD_MEMORY.name: nothing}})
    known = checked(home, ref.model_copy(update={"source": source}))["known_metrics"]
    assert (known.passed, known.severity) == (False, ERROR)
    assert known.description == unknown_metrics(source.known)[0].text
    specs = {spec.name: spec.blocking for spec in training_set_checks(VIEWS[POD_FEATURES]).check_specs}
    assert (specs["known_metrics"], specs["nodes"]) == (True, False)


def test_missing_nodes_warn(stored: tuple[Path, TrainingSetRef]) -> None:
    home, ref = stored
    nodes = {"node_cpu_utilization": FewerNodes(least=2, most=3, hours=31.0, share=0.2)}
    source = ref.source.model_copy(update={"nodes": nodes})
    found = checked(home, ref.model_copy(update={"source": source}))["nodes"]
    assert (found.passed, found.severity, found.description) == (False, WARN, notes_on_nodes(nodes)[0].text)


@pytest.mark.long
@pytest.mark.needs("prometheus")
def test_a_cluster_where_few_pods_have_a_limit_and_a_node_was_away(tmp_path: Path) -> None:
    """Twelve pods of which two have a memory limit, three nodes of which one is away for seven hours; three days."""
    series = generate(12, 3, END, seed=5)
    begin, back = ((END - pd.Timedelta(hours=hours)).timestamp() for hours in (30, 23))
    scraped = []
    for one in scrape(series):
        if one.name == "kube_pod_container_resource_limits" and one.labels["pod"] not in series.pods[:2]:
            continue
        there = (one.seconds < begin) | (one.seconds >= back) | (one.labels.get("instance") != "node-2")
        scraped.append(replace(one, seconds=one.seconds[there], values=one.values[there]))
    write_blocks(scraped, tmp_path / "server")
    with running_prometheus(tmp_path / "server") as url:
        variables = {"DATA_SOURCE": "prometheus", "PROMETHEUS_URL": url, "TRAINING_DAYS": "3", "TRAINING_PODS": "5"}
        settings = make_settings(tmp_path / "home", MODELS=NAME, **variables)
        result = materialize(settings)
    manifest = newest(settings)
    memory = manifest.source.known[POD_MEMORY.name]
    assert (memory.share, memory.lacking, memory.pods) == (0.4, 3, 5)
    assert (memory.window_lacking, memory.window_pods) == (10, 12)
    assert manifest.source.coverage_by_metric[POD_MEMORY.name] == pytest.approx(1, abs=1e-3)
    for nodes in manifest.source.nodes.values():
        assert (nodes.least, nodes.most) == (2, 3)
        assert nodes.hours == pytest.approx(7, abs=0.2)
    assert manifest.source.nodes.keys() == {NODE_CPU.name, NODE_MEMORY.name}
    found = checks(result)
    assert {"known_metrics", "nodes", "members"} <= {name for name, one in found.items() if not one.passed}
    for note in (*notes_on(manifest.source.known), *notes_on_nodes(manifest.source.nodes)):
        assert note.text in manifest.source.warnings
        assert note.text in stated_source(settings)
    stores = stores_of(settings)
    chain = LineageReader(
        stores.served(), stores.training_sets(), stores.lake(), tracking_of(settings).tracker()
    ).trace(NAME)
    assert (chain.verified, chain.warnings) == (True, manifest.source.warnings)
    assert chain.known == {name: one.share for name, one in manifest.source.known.items()}
    tags = tracking_of(settings).tracker().run_tags(manifest.run_id) or {}
    assert SourceReport.model_validate_json(tags["source"]) == manifest.source


def test_warnings_of_checks_of_data_are_lines_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Errors that block, checks that pass and checks of models are not among them."""
    found = {
        "raw_metrics": (False, WARN),
        "pod_features": (False, ERROR),
        "pod_series": (False, ERROR),
        "cluster_metrics": (True, WARN),
        "anomaly_detector_evaluation": (False, WARN),
    }

    def asset_of(name: str) -> dg.AssetsDefinition:
        @dg.asset(name=name, check_specs=[dg.AssetCheckSpec("tested", asset=name, blocking=name == "pod_series")])
        def one() -> dg.MaterializeResult:  # type: ignore[type-arg]
            passed, severity = found[name]
            result = dg.AssetCheckResult(passed=passed, severity=severity, description=f"about {name}")
            return dg.MaterializeResult(check_results=[result])

        return one

    assets = [asset_of(name) for name in found]
    job = dg.define_asset_job("tested", assets)
    loaded = dg.Definitions(assets, jobs=[job], loggers={LOGGER_NAME: progress_logger})
    loaded.resolve_job_def("tested").execute_in_process(run_config={"loggers": {LOGGER_NAME: {}}}, raise_on_error=False)
    progress = Progress(console(), {}, 0.0)
    for line in capsys.readouterr().out.splitlines():
        if event := read_line(line):
            progress.handle(event)
    assert progress.warnings == {
        "raw_metrics: tested": "about raw_metrics",
        "pod_features: tested": "about pod_features",
    }
