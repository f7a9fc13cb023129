"""For programs that send requests to an ML service: :class:`MLServiceClient`."""

from aiops_assets.client.questions import Sample
from aiops_assets.client.service_client import Answer, MLServiceClient

__all__ = ["Answer", "MLServiceClient", "Sample"]
