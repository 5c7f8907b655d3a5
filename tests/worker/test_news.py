"""News of changed rows reaches a process's memory, and silence is not taken for no news."""

import asyncio
import time
from collections.abc import Callable

from redis import Redis

from app.messages.memory import Memory, Phi
from app.messages.news import News, tell_changed, tell_keys_changed
from app.values.caller import Caller
from app.values.lasting import Lasting
from tests.worker.orders import place
from worker.batch import run_hint
from worker.bench import Bench
from worker.sweeper import sweep

WITHIN_S = 10.0


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def fill(memory: Memory, *ids: str) -> None:
    """Remembers these adaptations and a key, as soon as there is a memory for them."""

    def keep() -> bool:
        for one in ids:
            phi = Phi(tenant_id="default", digest="d" * 64)
            memory.keep_phi(one, Lasting(value=phi), memory.stamp())
        memory.keep_caller(
            "k", Lasting(value=Caller(tenant_id="default", key_id="key_1")), memory.stamp()
        )
        return memory.caller("k") is not None

    await until(keep)


def knows(memory: Memory, adaptation_id: str) -> bool:
    return memory.phi("default", adaptation_id) is not None


def test_news_of_one_adaptation_and_of_keys_is_heard(redis_url: str) -> None:
    async def go() -> None:
        memory = Memory()
        async with News(redis_url, memory).listening():
            await fill(memory, "ad_1", "ad_2")
            with Redis.from_url(redis_url) as redis:
                assert tell_changed(redis, ["ad_1"])
                await until(lambda: not knows(memory, "ad_1"))
                assert knows(memory, "ad_2")
                await fill(memory)
                assert tell_keys_changed(redis)
                await until(lambda: memory.caller("k") is None)
                assert knows(memory, "ad_2")

    asyncio.run(go())


def test_a_broken_subscription_forgets_all_and_remembers_again_once_it_stands(
    redis_url: str,
) -> None:
    async def go() -> None:
        memory = Memory()
        async with News(redis_url, memory).listening():
            await fill(memory, "ad_1")
            with Redis.from_url(redis_url) as redis:
                redis.client_kill_filter(_type="pubsub")
            await until(lambda: not knows(memory, "ad_1"))
            await fill(memory, "ad_1")
            assert knows(memory, "ad_1")

    asyncio.run(go())


def test_a_server_that_falls_silent_is_not_trusted_for_more_than_some_seconds() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers what a client says first, takes the subscription, and says no more."""
        served.append(writer)
        while data := await reader.read(4096):
            if b"SUBSCRIBE" in data:
                writer.write(b"*3\r\n$9\r\nsubscribe\r\n$15\r\nfewstep:changed\r\n:1\r\n")
                return
            writer.write(b"+OK\r\n" * data.count(b"*"))

    served: list[asyncio.StreamWriter] = []

    async def go() -> None:
        memory = Memory()
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with News(f"redis://127.0.0.1:{port}?protocol=2", memory).listening():
            await fill(memory, "ad_1")
            began = time.monotonic()
            await until(lambda: not knows(memory, "ad_1"))
            assert time.monotonic() - began < 4
        for writer in served:
            writer.close()
            await writer.wait_closed()
        server.close()

    asyncio.run(go())


def test_expiry_is_told(bench: Bench, redis_url: str) -> None:
    mine = place(bench, ttl_seconds=30)
    run_hint(bench, mine)
    with bench.backends.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE adaptations SET expires_at = expires_at - 60")

    with Redis.from_url(redis_url) as client, client.pubsub() as ears:
        ears.subscribe("fewstep:changed")
        ears.get_message(timeout=5)
        sweep(bench.backends)
        heard = ears.get_message(timeout=5)

    assert heard is not None
    assert heard["data"] == mine.encode()
