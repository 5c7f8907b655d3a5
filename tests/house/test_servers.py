"""The fixtures give a clean corner of a real server, and are honest when there is none."""

import pytest
import redis
from sqlalchemy import create_engine, text

from tests import servers

NOWHERE = "redis://127.0.0.1:1"


def test_a_postgres_url_leads_to_an_empty_database(postgres_url: str) -> None:
    engine = create_engine(postgres_url)

    with engine.connect() as connection:
        count = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
        tables = connection.execute(text(count)).scalar_one()
    engine.dispose()

    assert tables == 0


def test_two_redis_urls_are_two_empty_databases(redis_url: str) -> None:
    with servers.fresh_redis() as other, redis.Redis.from_url(redis_url) as client:
        client.set("a", 1)
        with redis.Redis.from_url(other) as second:
            assert second.dbsize() == 0


def test_a_missing_server_skips_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FEWSTEP_REQUIRE_SERVICES", raising=False)

    with pytest.raises(pytest.skip.Exception, match=r"Redis does not listen on 127\.0\.0\.1:1"):
        servers.require("Redis", NOWHERE)


def test_a_missing_server_fails_where_servers_are_demanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEWSTEP_REQUIRE_SERVICES", "1")

    with pytest.raises(pytest.fail.Exception, match="Redis does not listen"):
        servers.require("Redis", NOWHERE)
