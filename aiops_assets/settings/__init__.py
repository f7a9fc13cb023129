"""Every environment variable of the project, in one frozen table that is read once.

``aiops settings`` prints it. A variable that is set beats the default of ``AIOPS_ENV``; a value that is not
allowed is an error that names the variable and what is allowed.
"""

from aiops_assets.settings.loading import load_settings, origin
from aiops_assets.settings.showing import allowed, shown
from aiops_assets.settings.table import (
    ENVIRONMENT_DEFAULTS,
    GPU_CAPABLE,
    PROJECT_ROOT,
    SYNTHETIC_SHARES,
    Environment,
    Fallback,
    Mode,
    Settings,
    Source,
)

__all__ = [
    "ENVIRONMENT_DEFAULTS",
    "GPU_CAPABLE",
    "PROJECT_ROOT",
    "SYNTHETIC_SHARES",
    "Environment",
    "Fallback",
    "Mode",
    "Settings",
    "Source",
    "allowed",
    "load_settings",
    "origin",
    "shown",
]
