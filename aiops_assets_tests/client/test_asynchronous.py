"""The asynchronous client: the same answers, errors, breaker and cache as those of the client behind it."""

import asyncio
import inspect

import pytest

from aiops_assets.client import AsyncMLServiceClient, MLServiceClient
from aiops_assets.errors import ServiceCircuitOpen, ServiceUnavailable
from aiops_assets_tests.client.fake_service import CPU, Service, fails


def test_a_request_is_answered_and_an_error_is_raised(service: Service) -> None:
    async def ask() -> None:
        async with AsyncMLServiceClient(MLServiceClient(service.url, timeout_seconds=5)) as client:
            service.answers(200, {"summary": {"total": 1}})
            answer = await client.detect(CPU, threshold=0.5)
            assert (answer.body["summary"], answer.cached) == ({"total": 1}, False)
            service.answers(500, {"error": "no model"})
            assert (await client.detect(CPU, threshold=0.5)).cached
            with pytest.raises(ServiceUnavailable):
                await client.predict(CPU)

    asyncio.run(ask())


def test_breaker_and_cache_are_those_of_the_client_behind_it(client: MLServiceClient, service: Service) -> None:
    async def ask() -> None:
        asking = AsyncMLServiceClient(client)
        service.answers(200, {"patterns": []})
        await asking.analyze(CPU)
        service.answers(500, {})
        fails(client, 3)
        assert (asking.breaker_state, asking.status()) == ("open", "degraded")
        with pytest.raises(ServiceCircuitOpen):
            await asking.detect(CPU)
        assert (await asking.analyze(CPU)).cached
        assert client.analyze(CPU).cached
        await asking.aclose()

    asyncio.run(ask())


def test_requests_of_many_tasks_are_sent_together_and_the_loop_goes_on(service: Service) -> None:
    async def ask() -> None:
        async with AsyncMLServiceClient(MLServiceClient(service.url, timeout_seconds=5)) as client:
            service.answers(200, {"summary": {}})
            answers = await asyncio.gather(*(client.detect([{"name": f"m{i}", "value": 1}]) for i in range(40)))
            assert len(answers) == len(service.asked) == 40

    asyncio.run(ask())


def test_it_asks_whatever_the_other_asks() -> None:
    for name in ("detect", "predict", "analyze", "health"):
        assert inspect.iscoroutinefunction(getattr(AsyncMLServiceClient, name))
        assert getattr(AsyncMLServiceClient, name).__doc__ == getattr(MLServiceClient, name).__doc__
    public = {name for name in vars(MLServiceClient) if not name.startswith("_")} - {"close"}
    assert public == {name for name in vars(AsyncMLServiceClient) if not name.startswith("_")} - {"aclose"}
