"""Resources of pods in Kubernetes: of a run by its job, of a step by its kind of asset.

They are tags that dagster-k8s reads and that have no meaning elsewhere. A step has a pod of its own only where
the job runs with ``k8s_job_executor``, see :func:`~aiops_assets.pipeline.executors.steps_executor`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

K8S_CONFIG = "dagster-k8s/config"
GPU = "nvidia.com/gpu"


@dataclass(frozen=True)
class PodResources:
    """Resources of one container.

    Attributes:
        cpu: request and limit, as Kubernetes quantities.
        memory: request and limit: a pod above its request is the first to be killed on a full node.
    """

    cpu: tuple[str, str]
    memory: str

    def container_config(self, *, gpu: bool = False) -> dict[str, object]:
        """The container configuration that dagster-k8s merges into its own. A GPU's limit is its request as well."""
        request, limit = self.cpu
        limits = {"cpu": limit, "memory": self.memory, **({GPU: "1"} if gpu else {})}
        return {"resources": {"requests": {"cpu": request, "memory": self.memory}, "limits": limits}}


SMALL = PodResources(cpu=("100m", "1"), memory="1Gi")
"""Reads records, uses one model or writes a page; most of the memory is Python with pandas and scikit-learn."""
FETCH = PodResources(cpu=("250m", "1"), memory="2Gi")
"""Fetches one range of a metric at a time."""
ROWS = PodResources(cpu=("500m", "2"), memory="2Gi")
JUDGE = PodResources(cpu=("500m", "2"), memory="2Gi")
FIT = PodResources(cpu=("1", "2"), memory="2Gi")
EVERYTHING = PodResources(cpu=("1", "2"), memory="3Gi")
"""A run with all steps in its own process: at most 0.9 GiB for all models and 50 pods."""

STEPS: Mapping[str, PodResources] = {
    "raw_metrics": FETCH,
    "synthetic_series": SMALL,
    "training_set": ROWS,
    "model": FIT,
    "evaluation": JUDGE,
    "served": SMALL,
    "shadow": JUDGE,
    "card": JUDGE,
    "scores": ROWS,
    "check": SMALL,
}
"""Kind of an asset -> resources of its step; ``check``: asset checks that are steps of their own."""
JOBS: Mapping[str, PodResources] = {
    "ingest": FETCH,
    "score": ROWS,
    "retrain": EVERYTHING,
    "promote": SMALL,
    "rollback": SMALL,
}
STEPS_APART = SMALL
"""A run whose steps have pods of their own, for which it only waits."""


def step_tags(kind: str, *, gpu: bool = False) -> dict[str, object]:
    """Op tags of an asset or check of a kind in ``STEPS``."""
    return {K8S_CONFIG: {"container_config": STEPS[kind].container_config(gpu=gpu)}}


def run_tags(job: str, *, steps_apart: bool = False) -> dict[str, object]:
    """Tags of a job in ``JOBS``."""
    resources = STEPS_APART if steps_apart else JOBS[job]
    return {K8S_CONFIG: {"container_config": resources.container_config()}}
