"""What a webhook is owed is written with the event itself, claimed once, and sent until it ends."""

import json
from typing import Any

import pytest
from sqlalchemy import Engine, text

from app.db import deliveries
from app.db.adaptations import expire_due, fail, insert_queued, succeed
from app.db.connections import reading, writing
from app.db.tenants import ensure_tenant
from app.db.webhook_secrets import find_secret, rotate_secret, set_first_secret
from app.values.delivery import MOST_BYTES, Delivery, body_of
from app.values.lifecycle import Status
from tests.rows.orders import OUTCOME, claimed, lapse, new_order, queue, recovered, run

HOOK = "https://hooks.example/fewstep?token=1"


def owed(engine: Engine, adaptation_id: str) -> list[Delivery]:
    with reading(engine) as connection:
        return deliveries.list_deliveries(connection, adaptation_id)


def taken(engine: Engine, *, limit: int = 10, **more: Any) -> list[Delivery]:
    options = {"worker": "w", "lease_s": 30.0, "busy": ()} | more
    with writing(engine) as connection:
        return deliveries.claim(connection, limit=limit, **options)


def ended(engine: Engine, number: int = 1, **changes: Any) -> list[str]:
    """Succeeded adaptations with a webhook."""
    ids = queue(engine, number, webhook=HOOK, **changes)
    held = claimed(engine)
    with writing(engine) as connection:
        succeed(connection, [(one, OUTCOME) for one in held])
    return ids


def test_an_end_is_owed_to_the_webhook_and_nothing_else_is(engine: Engine) -> None:
    [mine] = queue(engine, webhook=HOOK, metadata={"user": "42"}, name="ü")
    [other] = queue(engine)
    before = owed(engine, mine)
    held = claimed(engine)
    with writing(engine) as connection:
        succeed(connection, [(one, OUTCOME) for one in held])

    [one] = owed(engine, mine)
    assert before == []
    assert owed(engine, other) == []
    assert (one.url, one.event_number, one.status, one.attempts) == (HOOK, 3, "queued", 0)
    assert one.payload["type"] == "adaptation.succeeded"
    assert one.payload["data"]["id"] == mine
    assert one.payload["data"]["metadata"] == {"user": "42"}
    assert one.payload["data"]["finished_at"] is not None


def test_failures_and_expiry_are_owed_with_their_reason(engine: Engine) -> None:
    [mine] = queue(engine, webhook=HOOK, ttl_seconds=60)
    [held] = claimed(engine)
    with writing(engine) as connection:
        fail(connection, held, code="diverged", detail="no")
    [good] = ended(engine, ttl_seconds=60)
    run(engine, "UPDATE adaptations SET expires_at = expires_at - 3600")
    with writing(engine) as connection:
        expire_due(connection)

    assert [one.payload["type"] for one in owed(engine, good)] == [
        "adaptation.succeeded",
        "adaptation.expired",
    ]
    assert owed(engine, mine)[0].payload["data"]["error"] == {"code": "diverged", "detail": "no"}


def test_a_row_that_its_workers_lost_for_good_is_owed_its_failure(engine: Engine) -> None:
    [mine] = queue(engine, webhook=HOOK)
    for _ in range(4):
        claimed(engine)
        lapse(engine, mine)
        recovered(engine)

    [one] = owed(engine, mine)
    assert one.payload["data"]["error"]["code"] == "worker-lost"


def test_a_change_that_is_rolled_back_owes_nothing(engine: Engine) -> None:
    [mine] = queue(engine, webhook=HOOK)
    [held] = claimed(engine)

    def succeed_and_stumble() -> None:
        with writing(engine) as connection:
            succeed(connection, [(held, OUTCOME)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        succeed_and_stumble()

    assert owed(engine, mine) == []


def test_the_widest_metadata_do_not_make_a_message_too_long(engine: Engine) -> None:
    widest = {f"{n:02}" + "🦊" * 62: "🦊" * 512 for n in range(16)}
    [mine] = ended(engine, metadata=widest)

    [one] = owed(engine, mine)

    assert len(body_of(one.payload)) <= MOST_BYTES
    assert json.loads(body_of(one.payload))["data"]["metadata"] is None


def test_six_hundred_ends_at_once_are_all_owed(engine: Engine) -> None:
    with writing(engine) as connection:
        ids = [insert_queued(connection, new_order(webhook=HOOK)).id for _ in range(600)]
    held = claimed(engine, limit=600, most_example_steps=10**9)
    with writing(engine) as connection:
        succeed(connection, [(one, OUTCOME) for one in held])

    assert run(engine, "SELECT count(*) FROM webhook_deliveries")[0][0] == len(ids)


def test_a_delivery_is_claimed_once_and_tried_again_only_after_its_pause(engine: Engine) -> None:
    ended(engine)
    [held] = taken(engine)
    again = taken(engine)
    with writing(engine) as connection:
        assert deliveries.try_again(connection, held, pause_s=60, answered=500, error=None)
        assert not deliveries.is_due(connection)
    early = taken(engine)
    run(engine, "UPDATE webhook_deliveries SET queued_at = queued_at - 60")
    [late] = taken(engine)

    assert (again, early) == ([], [])
    assert (late.id, late.attempts, late.answered) == (held.id, 2, 500)
    assert late.payload == held.payload


def test_a_sender_that_lost_its_claim_changes_nothing(engine: Engine) -> None:
    [mine] = ended(engine)
    [held] = taken(engine)
    run(engine, "UPDATE webhook_deliveries SET lease_until = lease_until - 3600")
    with writing(engine) as connection:
        lost = deliveries.requeue_lost(connection)
    [other] = taken(engine)
    with writing(engine) as connection:
        late = deliveries.end(connection, held, Status.FAILED, answered=410, error=None)
        good = deliveries.end(connection, other, Status.SUCCEEDED, answered=200, error=None)

    assert (lost, late, good) == (1, False, True)
    assert [(one.status, one.answered) for one in owed(engine, mine)] == [("succeeded", 200)]


def test_a_busy_tenant_waits_while_others_are_served(engine: Engine) -> None:
    with writing(engine) as connection:
        ensure_tenant(connection, "other")
    ended(engine, 3)
    ended(engine, tenant_id="other")

    assert {one.tenant_id for one in taken(engine, limit=2)} == {"default"}
    assert [one.tenant_id for one in taken(engine, busy=["default"])] == ["other"]
    assert len(taken(engine)) == 1


def test_deleting_an_adaptation_leaves_nothing_owed(engine: Engine) -> None:
    [mine] = ended(engine)

    run(engine, "DELETE FROM adaptations WHERE id = :id", id=mine)

    assert run(engine, "SELECT count(*) FROM webhook_deliveries")[0][0] == 0


def test_the_secret_before_signs_as_well_for_a_day(engine: Engine) -> None:
    with writing(engine) as connection:
        assert find_secret(connection, "default") is None
        assert not rotate_secret(connection, "default", "whsec_Yg==")
        set_first_secret(connection, "default", "whsec_YQ==")
        set_first_secret(connection, "default", "whsec_Yg==")
        first = find_secret(connection, "default")
        assert rotate_secret(connection, "default", "whsec_Yg==")
        assert not rotate_secret(connection, "default", "whsec_Yw==")
        both = find_secret(connection, "default")
        connection.execute(text("UPDATE tenants SET webhook_secret_since = 0"))
        one = find_secret(connection, "default")
        assert rotate_secret(connection, "default", "whsec_Yw==")

    assert first is not None
    assert both is not None
    assert one is not None
    assert first.signing == ("whsec_YQ==",)
    assert both.signing == ("whsec_Yg==", "whsec_YQ==")
    assert one.signing == ("whsec_Yg==",)
