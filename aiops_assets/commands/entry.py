"""The program `aiops`: runs the commands, or says in one line which extra of the package they want.

The core of the package is the client of the service, and brings not even what reads a command line. So this module
imports nothing of other people's.
"""

import sys
from collections.abc import Mapping

_PIPELINE = (
    *("click", "dagster", "filelock", "numpy", "obstore", "pandas", "psutil", "pyarrow", "pydantic", "tenacity"),
    *("typing_extensions", "yaml"),
)
_TRAIN = (
    *("PIL", "joblib", "matplotlib", "mlflow", "prophet", "scipy", "sklearn", "sqlalchemy", "statsmodels"),
    *("threadpoolctl", "torch"),
)
_SERVICE = ("fastapi", "fastapi_offline", "numba", "orjson", "ruptures", "starlette", "structlog", "uvicorn")
EXTRAS: Mapping[str, str] = {
    **dict.fromkeys(_PIPELINE, "pipeline"),
    **dict.fromkeys(_TRAIN, "train"),
    **dict.fromkeys(_SERVICE, "service"),
    "dagster_k8s": "cluster",
}
"""Every module beyond the core that the package imports -> the extra that brings it."""


def main() -> None:
    """Run the command that was typed; exit code 1 where a package for it is not installed."""
    try:
        from aiops_assets.commands.cli import main as run

        run()
    except ModuleNotFoundError as error:
        extra = EXTRAS.get(error.name or "")
        # A module inside an installed package, or one that we know nothing of, is a bug: shown as it is.
        if extra is None:
            raise
        sys.exit(f"error: {error.name} is not installed: pip install 'aiops-assets[{extra}]'")
