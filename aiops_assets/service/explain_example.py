"""Examples of the answers that explain alerts, for OpenAPI: what `aiops serve --demo` answers."""

from typing import Any

EXPLAINED: dict[str, Any] = {
    "cluster": "demo",
    "subject": {"kind": "pod", "namespace": "shop", "pod": "cart-5d4f8c7b9-x2x9k", "workload": "cart", "node": ""},
    "state": "page",
    "metric": "pod_memory_usage",
    "since": "2026-01-25T09:30:00+00:00",
    "metrics": [
        {
            "metric": "pod_memory_usage",
            "unit": "ratio",
            "timestamp": "2026-01-25T10:00:00+00:00",
            "value": 0.93,
            "expected": 0.4,
            "lower": 0.3,
            "upper": 0.5,
            "outside": "above",
            "outside_since": "2026-01-25T09:30:00+00:00",
            "contribution": 0.75,
        },
        {
            "metric": "pod_cpu_usage",
            "unit": "cores",
            "timestamp": "2026-01-25T10:00:00+00:00",
            "value": 0.2,
            "expected": 0.2,
            "lower": 0.1,
            "upper": 0.3,
            "outside": "",
            "outside_since": None,
            "contribution": 0.25,
        },
    ],
    "raised": [
        {
            "by": "page",
            "metric": "pod_memory_usage",
            "since": "2026-01-25T09:30:00+00:00",
            "until": "2026-01-25T10:00:00+00:00",
            "now": True,
        },
        {
            "by": "demo-detector",
            "metric": "pod_memory_usage",
            "since": "2026-01-25T09:30:00+00:00",
            "until": "2026-01-25T10:00:00+00:00",
            "now": True,
        },
    ],
    "scores": [
        {"model": "demo-detector", "version": 1, "timestamp": "2026-01-25T10:00:00+00:00", "score": 0.5, "alert": True}
    ],
    "notes": {},
    "made_at": "2026-01-25T10:00:00+00:00",
    "until": "2026-01-25T10:00:00+00:00",
    "source": "demo",
    "links": {
        "explain": "/api/v1/explain?namespace=shop&pod=cart-5d4f8c7b9-x2x9k",
        "picture": "/api/v1/explain.png?namespace=shop&pod=cart-5d4f8c7b9-x2x9k",
        "dashboard": "/d/aiops-assets/aiops-models?var-namespace=shop&var-pod=cart-5d4f8c7b9-x2x9k",
        "command": "aiops scores --pod shop/cart-5d4f8c7b9-x2x9k",
        "runbook": "docs/runbook/aiops-anomaly.md",
    },
}
LISTED: dict[str, Any] = {
    "cluster": "demo",
    "made_at": "2026-01-25T10:00:00+00:00",
    "until": "2026-01-25T10:00:00+00:00",
    "source": "demo",
    "notes": {},
    "total": 2,
    "subjects": [
        {
            "subject": {"kind": "node", "namespace": "", "pod": "", "workload": "", "node": "node-1"},
            "state": "page",
            "metric": "node_memory_utilization",
            "since": "2026-01-25T09:30:00+00:00",
            "raised_by": ["page"],
            "scores": {},
        },
        {
            "subject": {
                "kind": "pod",
                "namespace": "shop",
                "pod": "cart-5d4f8c7b9-x2x9k",
                "workload": "cart",
                "node": "",
            },
            "state": "page",
            "metric": "pod_memory_usage",
            "since": "2026-01-25T09:30:00+00:00",
            "raised_by": ["demo-detector", "page"],
            "scores": {"demo-detector": 0.5},
        },
    ],
    "metrics": [
        {
            "entity": "queue=orders",
            "severity": "warning",
            "since": "2026-01-25T10:00:00+00:00",
            "now": {
                "metric": "queue_depth",
                "unit": "messages",
                "timestamp": "2026-01-25T10:00:00+00:00",
                "value": 90.0,
                "expected": 10.0,
                "lower": -10.0,
                "upper": 30.0,
                "outside": "above",
                "outside_since": "2026-01-25T10:00:00+00:00",
                "contribution": 0.0,
            },
        }
    ],
    "silent": [
        {
            "reason": "node_gone",
            "metric": "",
            "entity": "node-2",
            "labels": {"node": "node-2"},
            "severity": "critical",
            "since": "2026-01-25T09:30:00+00:00",
        }
    ],
    "not_scored": {},
}
