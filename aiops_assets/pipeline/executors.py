"""The executor of a run: all steps in its own process, or each in a pod of its own if one needs a GPU."""

import dagster as dg

from aiops_assets.datasets.selection import active_models
from aiops_assets.errors import SettingsError
from aiops_assets.settings import Settings

MAX_PODS = 3
"""Most concurrent steps of a run: all models at once would request a dozen CPUs of a namespace."""


def steps_apart(settings: Settings) -> bool:
    """Whether a model of this environment needs a GPU."""
    return any(spec.name in settings.gpu_models for spec in active_models(settings))


def steps_executor(settings: Settings) -> dg.ExecutorDefinition:
    """The in-process executor, unless GPU_MODELS names a model: then only the step that needs a GPU occupies it.

    Raises:
        SettingsError: GPU_MODELS is set and dagster-k8s is not installed.
    """
    if not steps_apart(settings):
        return dg.in_process_executor
    try:
        from dagster_k8s import k8s_job_executor
    except ImportError as error:
        names = ",".join(settings.gpu_models)
        raise SettingsError(
            f"GPU_MODELS={names} runs each step in a pod of its own, and dagster-k8s is not installed: "
            "pip install 'aiops-assets[cluster]', or unset GPU_MODELS",
            code="no_dagster_k8s",
            models=settings.gpu_models,
        ) from error
    return k8s_job_executor.configured({"max_concurrent": MAX_PODS}, name="k8s")
