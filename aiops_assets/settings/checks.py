"""What single values have to look like. Each check returns the value, or raises ValueError with what it must be."""

import re
from urllib.parse import urlsplit


def dns_label(value: str) -> str:
    """A name as Kubernetes gives it to namespaces."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", value):
        raise ValueError("must be lower-case letters, digits and dashes, at most 63")
    return value


def tenant(value: str) -> str:
    """A tenant of Mimir or Cortex, or several of them separated by ``|``."""
    if not re.fullmatch(r"[A-Za-z0-9!_.*'()|-]{1,1000}", value):
        raise ValueError("must be letters, digits and !-_.*'(), tenants separated by |")
    return value


def login(value: str) -> str:
    """A user of basic authentication, which ends at a colon."""
    if not re.fullmatch(r"[!-9;-~]([ -9;-~]{0,254}[!-9;-~])?", value):
        raise ValueError("must be a user's name of printable ASCII characters without a colon")
    return value


def part_of_an_hour(value: int) -> int:
    """Minutes that divide an hour: a schedule starts anew with each hour."""
    if value < 1 or 60 % value:
        raise ValueError("must be 1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30 or 60 minutes")
    return value


def proxy_url(value: str) -> str:
    """An http or https URL of a host and a port alone."""
    try:
        parts = urlsplit(value)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if set(value) & set("@?#") or not is_usable or parts.path.strip("/"):
        raise ValueError(
            "must be http://host:port or https://host:port; user and password go into PROMETHEUS_PROXY_USER and "
            "PROMETHEUS_PROXY_PASSWORD_FILE"
        )
    return value.rstrip("/")
