"""From environment variables to the table."""

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from aiops_assets.errors import SettingsError
from aiops_assets.settings.contradictions import contradiction
from aiops_assets.settings.showing import explain, shown
from aiops_assets.settings.table import ENVIRONMENT_DEFAULTS, PROJECT_ROOT, Settings

_URL = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]+:/")


def load_settings(environment: Mapping[str, str]) -> Settings:
    """Settings from environment variables.

    Raises:
        SettingsError: one line that names each variable with a wrong value and what is allowed.
    """
    given = {name: environment[name.upper()] for name in Settings.model_fields if environment.get(name.upper())}
    defaults = ENVIRONMENT_DEFAULTS.get(given.get("aiops_env", "dev"), {})
    home = _home(given.get("aiops_home", ""))
    derived: dict[str, Any] = {
        "synthetic_end": datetime.now(UTC).date(),
        "model_root": str(home / "models"),
        "signing_key_file": _keys() / "signing.key",
        "verify_key_file": _keys() / "verify.pub",
        "mlflow_tracking_uri": f"sqlite:///{home / 'mlflow' / 'mlflow.db'}",
    }
    try:
        settings = Settings.model_validate({**defaults, **derived, **given, "aiops_home": home})
    except ValidationError as error:
        problems = error.errors()
        names = tuple(str(problem["loc"][0]).upper() for problem in problems)
        text = "; ".join(explain(problem, given) for problem in problems)
        raise SettingsError(text, code="wrong_values", names=names) from None
    if problem := contradiction(settings, given):
        raise SettingsError(problem.text, code="contradiction", names=problem.names)
    return settings


def origin(name: str, environment: Mapping[str, str]) -> str:
    """Where a setting's value comes from: "set", "AIOPS_ENV" or "default"."""
    if environment.get(name.upper()):
        return "set"
    return "AIOPS_ENV" if name in ENVIRONMENT_DEFAULTS["dev"] else "default"


def _home(value: str) -> Path:
    """The folder that AIOPS_HOME names, or the default one.

    Raises:
        SettingsError: it is a URL. State is locked, linked and appended to, which a bucket cannot do.
    """
    if _URL.match(value):
        raise SettingsError(
            f"AIOPS_HOME={shown(value.strip())}: not allowed, must be a folder of this machine or a mounted volume; "
            "a bucket can hold the models alone: name it in MODEL_ROOT and leave AIOPS_HOME local",
            code="wrong_values",
            names=("AIOPS_HOME",),
        )
    return Path(value or _default_home()).expanduser().absolute()


def _keys() -> Path:
    """The folder of keys: of the person, as other programs' configuration is, and of no home that is copied or shared.

    It is where freedesktop.org's base directory specification says: ``$XDG_CONFIG_HOME``, else ``~/.config``.
    """
    given = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    if given.is_absolute():  # that specification says to ignore another one
        return given / "aiops_assets"
    try:
        return Path("~/.config/aiops_assets").expanduser()
    except RuntimeError:  # a container's user may have no home
        return Path("/etc/aiops_assets")


def _default_home() -> Path:
    root = PROJECT_ROOT if (PROJECT_ROOT / "pyproject.toml").is_file() else Path.cwd()
    return root / ".aiops"
