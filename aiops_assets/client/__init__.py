"""For programs that send requests to an ML service: :class:`MLServiceClient`, :class:`AsyncMLServiceClient`."""

from typing import TYPE_CHECKING, Any

from aiops_assets.client.questions import Sample
from aiops_assets.client.service_client import Answer, MLServiceClient

if TYPE_CHECKING:
    from aiops_assets.client.asynchronous import AsyncMLServiceClient

__all__ = ["Answer", "AsyncMLServiceClient", "MLServiceClient", "Sample"]


def __getattr__(name: str) -> Any:
    """Import the asynchronous client when it is first used, so that other programs do not load asyncio."""
    if name != "AsyncMLServiceClient":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from aiops_assets.client.asynchronous import AsyncMLServiceClient

    return AsyncMLServiceClient
