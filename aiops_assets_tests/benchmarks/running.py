"""How much of `aiops run`, all models on generated data, is fitting: the rest is what the graph itself costs."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from aiops_assets.families.catalog import MODEL_NAMES
from aiops_assets.pipeline.resources import stores_of, tracking_of
from aiops_assets.settings import load_settings
from aiops_assets_tests.benchmarks.rows import Row

SHARE, EXTRA_SECONDS, MAX_SECONDS = 1.3, 25.0, 300.0


def rows() -> list[Row]:
    """The wall time of a run in an empty home to what is allowed."""
    with tempfile.TemporaryDirectory() as folder:
        variables = {"AIOPS_HOME": folder, "SYNTHETIC_END": "2026-11-01"}
        began = time.perf_counter()
        aiops = Path(sys.executable).parent / "aiops"
        subprocess.run([aiops, "run"], env={**os.environ, **variables}, check=True, capture_output=True)
        wall = time.perf_counter() - began
        settings = load_settings(variables)
        served, tracker = stores_of(settings).served(), tracking_of(settings).tracker()
        seconds = {name: tracker.run_metrics(served.manifest(name, 1).run_id)["fit_seconds"] for name in MODEL_NAMES}
    fits = sum(seconds.values())
    each = ", ".join(f"{name} {spent:.1f}" for name, spent in seconds.items())
    what = f"`aiops run` of all models: {wall:.1f} s; fits together {fits:.1f} s ({each})"
    return [
        Row(f"{what}, to {SHARE} x fits + {EXTRA_SECONDS:.0f} s", wall / (SHARE * fits + EXTRA_SECONDS), 1.0),
        Row(f"the same to {MAX_SECONDS:.0f} s", wall / MAX_SECONDS, 1.0),
    ]
