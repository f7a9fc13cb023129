"""Models of another package: what is refused when they are registered, and how two of them are walked to a service."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from aiops_assets.errors import ModelError
from aiops_assets.families.catalog import BUILT_IN, GROUP, MODELS, registered
from aiops_assets.families.detectors import WindowFamily
from aiops_assets_tests.families import other_package
from aiops_assets_tests.families.other_package import HOUR_MEAN, Z_SCORE, ZScoreFamily

MODULE = other_package.__name__
WALK = """
import json, os, sys
from datetime import UTC, datetime
import numpy as np
from aiops_assets.datasets.selection import active_models
from aiops_assets.families.backtests import DETECTORS, FORECASTERS
from aiops_assets.pipeline.resources import stores_of
from aiops_assets.registry.code_digest import code_of
from aiops_assets.service.inference import Question, infer
from aiops_assets.service.instruments import Instruments
from aiops_assets.service.kserve import metadata
from aiops_assets.service.pool import ModelPool
from aiops_assets.service.versions import ChampionSource
from aiops_assets.settings import load_settings

settings = load_settings(os.environ)
stores = stores_of(settings)
served = stores.served()
pool = ModelPool(ChampionSource(served), active_models(settings), Instruments())
pool.refresh()
found = {"problems": pool.problems, "backtests": [*DETECTORS, *FORECASTERS]}
run = stores.scores().newest()
found["scored"] = sorted(set(run.scores["model_name"])), sorted(set(run.forecasts["model_name"]))
for name, ready in pool.ready.items():
    window = np.full((24, ready.manifest.width), 0.5).tolist()
    answer = infer(ready, Question([window], 12, datetime(2026, 11, 1, tzinfo=UTC)))
    found[name] = {
        "predictions": answer.predictions,
        "inputs": metadata(ready, ready.spec.name)["inputs"][0]["shape"],
        "champion": served.champion(name).champion.reason,
        "evaluated": served.evaluation(name, 1).decision,
        "card": stores.cards().text(name, 1),
        "code": code_of(ready.family),
    }
print()
print(json.dumps(found))
"""


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, GROUP)


def test_a_models_package_is_found_by_its_entry_point() -> None:
    found = registered(BUILT_IN, [entry("z", f"{MODULE}:Z_SCORE"), entry("h", f"{MODULE}:HOUR_MEAN")])
    assert found == (*MODELS, HOUR_MEAN, Z_SCORE)


@pytest.mark.parametrize("value", ["no_such_module:X", f"{MODULE}:NOTHING", f"{MODULE}:ZScore"])
def test_an_entry_point_that_is_no_model_is_named(value: str) -> None:
    with pytest.raises(ModelError, match="entry point mine"):
        registered(BUILT_IN, [entry("mine", value)])


def test_what_a_model_lacks_is_named_when_it_is_registered() -> None:
    class Unfinished(ZScoreFamily):
        """Without words for its card, and of no framework."""

    for name in ("use", "framework"):
        setattr(Unfinished, name, property(lambda self: self.nothing))
    with pytest.raises(ModelError, match="framework, use"):
        registered([replace(Z_SCORE, family=Unfinished())], [])
    with pytest.raises(TypeError, match="from_bytes"):
        WindowFamily()  # type: ignore[abstract]
    for wrong in ({"name": "Two Words"}, {"view": "moon_phases"}, {"family": "z"}):
        with pytest.raises(ModelError, match=next(iter(wrong.values()))):
            registered([replace(Z_SCORE, **wrong)], [])  # type: ignore[arg-type]


def test_two_models_do_not_share_a_name_nor_an_older_one() -> None:
    for name in ("anomaly-detector", "timeseries-predictor"):
        with pytest.raises(ModelError, match=name):
            registered([*BUILT_IN, replace(Z_SCORE, name=name)], [])


@pytest.mark.long
def test_two_models_of_another_package_go_all_the_way(tmp_path: Path, aiops: str) -> None:
    package = tmp_path / "site"
    facts = package / "other_models-1.0.dist-info"
    facts.mkdir(parents=True)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: other-models\nVersion: 1.0\n")
    points = [f"{name} = other_models:{name.upper()}" for name in ("z_score", "hour_mean")]
    (facts / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *points, ""]))
    assert other_package.__file__
    shutil.copy(other_package.__file__, package / "other_models.py")
    path = os.pathsep.join([str(package), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "AIOPS_HOME": str(tmp_path / "home"),
        "MODELS": "z-score,hour-mean",
        "SYNTHETIC_END": "2026-11-01",
    }
    ran = subprocess.run([aiops, "run"], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0, ran.stderr[-2000:]
    walked = subprocess.run(
        [sys.executable, "-c", WALK], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert walked.returncode == 0, walked.stderr[-2000:]
    found = json.loads(walked.stdout.splitlines()[-1])
    assert found["problems"] == {}
    assert {"z-score", "hour-mean"} <= set(found["backtests"])
    assert found["scored"] == [["z-score"], ["hour-mean"]]
    assert found["z-score"]["predictions"] == [1]
    assert found["z-score"]["inputs"] == [-1, -1, 5]
    assert len(found["hour-mean"]["predictions"]["cpu_usage"]["forecast"]) == 12
    for name in ("z-score", "hour-mean"):
        assert found[name]["evaluated"] == "promote"
        assert "For tests." in found[name]["card"]
    series = str(tmp_path / "series.parquet")
    script = (
        "import numpy as np, pandas as pd; "
        "t = pd.date_range('2026-10-01', periods=800, freq='5min', tz='UTC'); "
        f"pd.DataFrame({{'timestamp': t, 'a': np.random.default_rng(1).normal(size=800)}}).to_parquet({series!r})"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    for name in ("z-score", "hour-mean"):
        out = tmp_path / f"{name}.parquet"
        command = [aiops, "backtest", "--model", name, "--series", series, "--out", str(out)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert out.stat().st_size
