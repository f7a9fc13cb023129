"""Settings that are right one by one and make no sense together."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from aiops_assets.settings.table import Settings


@dataclass(frozen=True)
class Contradiction:
    """Settings that contradict each other.

    Attributes:
        text: what is wrong and what to do.
        names: of the variables.
    """

    text: str
    names: tuple[str, ...]


def contradiction(settings: Settings, given: Collection[str]) -> Contradiction | None:
    """The first contradiction between settings; ``None`` if there is none.

    Args:
        settings: all of them.
        given: fields whose variables are set.
    """
    pairs = (
        ("prometheus_user", "prometheus_password_file"),
        ("prometheus_proxy_user", "prometheus_proxy_password_file"),
    )
    for user, file in pairs:
        if (getattr(settings, user) is None) != (getattr(settings, file) is None):
            names = (user.upper(), file.upper())
            return Contradiction(f"{names[0]} and {names[1]} belong together: set both, or neither", names)
    if settings.prometheus_token_file and settings.prometheus_user:
        names = ("PROMETHEUS_TOKEN_FILE", "PROMETHEUS_USER")
        text = "PROMETHEUS_TOKEN_FILE and PROMETHEUS_USER are two ways to log in, and a request can take one: unset one"
        return Contradiction(text, names)
    needs = (
        ("prometheus_key_file", "prometheus_cert_file"),
        ("prometheus_proxy_user", "prometheus_proxy"),
    )
    for one, other in needs:
        if getattr(settings, one) is not None and getattr(settings, other) is None:
            names = (one.upper(), other.upper())
            return Contradiction(f"{names[0]} needs {names[1]}: set it too, or unset {names[0]}", names)
    urls = [url for url in (settings.prometheus_url, settings.thanos_url) if url]
    if settings.prometheus_cert_file and urls and not any(url.lower().startswith("https:") for url in urls):
        text = "PROMETHEUS_CERT_FILE needs TLS: PROMETHEUS_URL must begin with https://, or unset PROMETHEUS_CERT_FILE"
        return Contradiction(text, ("PROMETHEUS_CERT_FILE", "PROMETHEUS_URL"))
    return _key_inside(settings, given)


def _key_inside(settings: Settings, given: Collection[str]) -> Contradiction | None:
    """A key that somebody put where it protects nothing: whoever can replace a model could replace it too."""
    roots = {"AIOPS_HOME": str(settings.aiops_home), "MODEL_ROOT": settings.model_root}
    for name in ("signing_key_file", "verify_key_file"):
        file = getattr(settings, name)
        for root, folder in roots.items():
            if name in given and "://" not in folder and file.resolve().is_relative_to(Path(folder).resolve()):
                text = (
                    f"{name.upper()}={file} lies in {root}={folder}: whoever can replace a model there can replace the "
                    "key too; name a file elsewhere"
                )
                return Contradiction(text, (name.upper(), root))
    return None
