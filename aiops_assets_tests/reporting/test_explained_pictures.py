"""Pictures of alerts: which metrics are drawn, what is shaded, and that they are small."""

import io
from datetime import timedelta

import numpy as np
import pytest
from PIL import Image

from aiops_assets.registry.findings import Findings
from aiops_assets.registry.metric_findings import explain_metric
from aiops_assets.reporting import explained_pictures
from aiops_assets.reporting.explained_pictures import picture_of, picture_of_metric
from aiops_assets_tests.registry.explained_runs import NODE, NOON, whole

MAX_BYTES = 50_000


@pytest.fixture(scope="module")
def findings() -> Findings:
    """A page and a notice of shop/cart-1, a page of node-1; blog/cart-1 is calm."""
    return Findings(whole(pages=[("shop/cart-1", back) for back in range(6)] + [(NODE, 0)]), NOON)


def reddish(png: bytes) -> int:
    """Number of pixels of the colour of a page's shade."""
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    return int(((red > 200) & (green < 225) & (blue < 225) & (red - green > 20) & (abs(green - blue) < 25)).sum())


def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what is drawn from now on, an entry an axis."""
    names: list[str] = []
    original = explained_pictures._drawn

    def spy(title: str, parts: object, *rest: object) -> bytes:
        names.extend(part[0] for part in parts)  # type: ignore[attr-defined]
        return original(title, parts, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(explained_pictures, "_drawn", spy)
    return names


def test_metrics_of_a_pod_are_drawn_with_the_pages_minutes_shaded(
    findings: Findings, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = drawn(monkeypatch)
    paged = picture_of(findings, findings.of_pod("cart-1", "shop"))
    assert names[0] == "pod_memory_usage"
    assert {"pod_cpu_usage", "node_cpu_utilization"} <= set(names)
    assert len(paged) < MAX_BYTES
    calm = Findings(whole(pages=[], alerts=[("first", "shop/cart-1", 9)]), NOON)
    assert reddish(paged) > reddish(picture_of(calm, calm.of_pod("cart-1", "shop"))) + 500


@pytest.mark.parametrize("name", [r"queue=$\frac{$", "x" * 1500, "two\nlines" * 30])
def test_a_name_of_any_form_is_drawn_and_a_single_value_outside_is_red(findings: Findings, name: str) -> None:
    rows = findings.explanations[findings.explanations["metric"] == "node_memory_utilization"].iloc[:12]
    calm = rows.assign(value=rows["expected"], lower=rows["expected"] - 1, upper=rows["expected"] + 1)
    outside = calm.assign(value=[*calm["value"].iloc[:-1], 9.0])
    parts = [(name, rows, (), ()) for rows in (outside, calm, calm, calm)]
    assert strongest_red(explained_pictures._drawn(name, parts, "u")) > 100


def strongest_red(png: bytes) -> int:
    """By how much the reddest of all pixels is red."""
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    return int((pixels[..., 0] - pixels[..., 1:].max(axis=-1)).max())


def test_a_node_has_its_own_memory_and_not_the_mean_of_all(findings: Findings, monkeypatch: pytest.MonkeyPatch) -> None:
    names = drawn(monkeypatch)
    picture_of(findings, findings.of_node(NODE))
    assert names == ["node_memory_utilization"]


def test_what_has_no_rows_is_a_picture_too(findings: Findings) -> None:
    empty = Findings(whole(pages=[], alerts=[]), NOON + timedelta(days=9))
    explanation = empty.of_pod("cart-1", "blog")
    assert picture_of(empty, explanation).startswith(b"\x89PNG")
    assert picture_of_metric(empty, explain_metric(empty, "pod_memory_usage")).startswith(b"\x89PNG")


def test_a_metric_is_drawn_for_each_pod_that_has_it(findings: Findings, monkeypatch: pytest.MonkeyPatch) -> None:
    names = drawn(monkeypatch)
    assert len(picture_of_metric(findings, explain_metric(findings, "pod_memory_usage"))) < MAX_BYTES
    assert names == ["shop/cart-1"]
