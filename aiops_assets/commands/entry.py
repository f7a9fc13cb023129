"""The program `aiops`: runs the commands, or names in one line the extra of the package that they need.

The core of the package is the client of the service, which does not even depend on click. So this module only imports
the standard library.
"""

import sys
from collections.abc import Mapping

_PIPELINE = (
    *("click", "cryptography", "dagster", "filelock", "google", "jinja2", "numpy", "obstore", "pandas", "psutil"),
    *("promql_parser", "pyarrow", "pydantic", "pydantic_core", "rich", "tenacity", "typing_extensions", "yaml"),
)
_TRAIN = (
    *("PIL", "fracast", "joblib", "matplotlib", "mlflow", "prophet", "scipy", "sklearn", "sqlalchemy", "statsmodels"),
    *("threadpoolctl", "torch"),
)
_SERVICE = (
    *("fastapi", "fastapi_offline", "httptools", "numba", "orjson", "ruptures", "starlette", "structlog", "uvicorn"),
)
EXTRAS: Mapping[str, str] = {
    **dict.fromkeys(_PIPELINE, "pipeline"),
    **dict.fromkeys(_TRAIN, "train"),
    **dict.fromkeys(_SERVICE, "service"),
    "dagster_k8s": "cluster",
    "opentelemetry": "opentelemetry",
    **dict.fromkeys(("onnx", "onnxruntime"), "onnx"),
}
"""Imported module outside of the core -> the extra that installs it."""


def main() -> None:
    """Run the command; exit code 1 if a package that it needs is not installed."""
    try:
        from aiops_assets.commands.cli import main as run

        run()
    except ModuleNotFoundError as error:
        extra = EXTRAS.get(error.name or "")
        # A missing module of an installed package, or an unknown one, is a bug and is shown as such.
        if extra is None:
            raise
        here = ", or in a checkout `make service`" if extra == "service" else ""
        sys.exit(f"error: {error.name} is not installed: pip install 'aiops-assets[{extra}]'{here}")
