"""API keys: shown once, kept as a hash, ended by time or by hand."""

import hashlib
from typing import Any

import pytest
from sqlalchemy import Engine

from app.db.connections import reading, writing
from app.db.keys import (
    any_key,
    create_key,
    ensure_bootstrap_key,
    find_caller,
    hash_of,
    list_keys,
    revoke_key,
)
from tests.rows.orders import run

BOOTSTRAP = "fs_" + "0123456789abcdef" * 3


def create(engine: Engine, tenant_id: str = "default", lifetime_s: float | None = None) -> str:
    with writing(engine) as connection:
        return create_key(connection, tenant_id=tenant_id, name="test", lifetime_s=lifetime_s)


def owner(engine: Engine, secret: str) -> str | None:
    with reading(engine) as connection:
        found = find_caller(connection, hash_of(secret))
        return found.value.tenant_id if found else None


def everything(engine: Engine, table: str) -> list[Any]:
    return run(engine, f"SELECT * FROM {table}")


def test_a_key_says_whose_it_is_and_others_say_nothing(engine: Engine) -> None:
    mine, theirs = create(engine, "mine"), create(engine, "theirs")

    owners = [owner(engine, key) for key in (mine, theirs, mine[:-1] + "!", "", "fs_")]

    assert owners == ["mine", "theirs", None, None, None]


def test_a_key_has_256_random_bits_and_no_two_are_alike(engine: Engine) -> None:
    keys = {create(engine) for _ in range(20)}

    assert len(keys) == 20
    assert all(key.startswith("fs_") and len(key) >= 3 + 43 for key in keys)  # 43: 32 bytes, base64


def test_only_the_hash_of_a_key_is_kept(engine: Engine) -> None:
    secret = create(engine)

    [row] = everything(engine, "api_keys")
    assert secret not in str(row)
    assert secret[3:] not in str(row)
    assert hashlib.sha256(secret.encode()).hexdigest() in str(row)


def test_an_expired_key_is_as_good_as_none(engine: Engine) -> None:
    short, long = create(engine, lifetime_s=3000), create(engine, lifetime_s=5000)
    before = owner(engine, short), owner(engine, long)

    run(engine, "UPDATE api_keys SET expires_at = expires_at - 4000")

    assert before == ("default", "default")
    assert (owner(engine, short), owner(engine, long)) == (None, "default")


def test_a_revoked_key_ends_at_once_and_only_it(engine: Engine) -> None:
    first, second = create(engine), create(engine)
    digest = hashlib.sha256(first.encode()).hexdigest()
    [(key_id,)] = run(engine, "SELECT id FROM api_keys WHERE secret_sha256 = :d", d=digest)

    with writing(engine) as connection:
        revoked = [revoke_key(connection, key_id) for _ in range(2)]

    assert revoked == [True, False]
    assert (owner(engine, first), owner(engine, second)) == (None, "default")


def test_keys_are_in_use_from_the_first_on_even_when_it_is_revoked(engine: Engine) -> None:
    assert not any_key(engine)

    create(engine)
    with writing(engine) as connection:
        [row] = list_keys(connection)
        revoke_key(connection, row.id)

    assert any_key(engine)


def test_the_bootstrap_key_is_made_once_for_the_default_tenant(engine: Engine) -> None:
    ensure_bootstrap_key(engine, BOOTSTRAP)
    ensure_bootstrap_key(engine, BOOTSTRAP)

    assert owner(engine, BOOTSTRAP) == "default"
    assert len(everything(engine, "api_keys")) == 1


@pytest.mark.parametrize("weak", ["", "sesame", "fs_short", "0123456789abcdef" * 3])
def test_a_bootstrap_key_that_can_be_guessed_is_refused(engine: Engine, weak: str) -> None:
    with pytest.raises(ValueError, match="FEWSTEP_BOOTSTRAP_KEY") as refusal:
        ensure_bootstrap_key(engine, weak)

    assert weak == "" or weak not in str(refusal.value)
    assert everything(engine, "api_keys") == []


def test_nobody_gets_a_key_of_the_owner_of_the_shipped_checkpoints(engine: Engine) -> None:
    with pytest.raises(ValueError, match="'shared' is reserved"):
        create(engine, "shared")

    assert everything(engine, "api_keys") == []


def test_a_key_of_that_owner_made_before_it_was_refused_opens_nothing(engine: Engine) -> None:
    key = create(engine, "mine")
    run(engine, "UPDATE api_keys SET tenant_id = 'shared'")

    assert owner(engine, key) is None
