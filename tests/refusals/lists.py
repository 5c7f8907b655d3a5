"""Cases of lists: limits, cursors, filters; and headers that are none of ours."""

from collections.abc import Iterator, Sequence
from urllib.parse import quote

from tests.refusals.calls import Answer, Call, get, post, send
from tests.refusals.case import Case, accepted, refused, same_bytes
from tests.refusals.strangers import OWN_KEY, Guarded, by
from tests.refusals.world import SINE

INJECTED = quote("' OR 1=1--")


def listed(query: str) -> Call:
    return by(OWN_KEY, get(f"/adaptations?{query}"))


def cursor(world: Guarded, key: str, query: str = "limit=1") -> str:
    """Where a list of more than one goes on."""
    for steps in (3, 4):
        assert send(world.client, by(key, post(SINE | {"steps": steps}))).status in (200, 201)
    found: str = send(world.client, by(key, get(f"/adaptations?{query}"))).json["next"]
    assert found
    return found


def cursors(world: Guarded) -> list[Call]:
    own, theirs = cursor(world, OWN_KEY), cursor(world, world.other_key)
    assert send(world.client, listed(f"after={own}")).status == 200
    return [listed(f"after={one}") for one in ("AAAA", own[:-1], theirs)]


def of_another_filter(world: Guarded) -> list[Call]:
    own = cursor(world, OWN_KEY, "status=succeeded&limit=1")
    assert send(world.client, listed(f"status=succeeded&after={own}")).status == 200
    return [listed(f"status=failed&after={own}")]


def with_foreign_headers(world: Guarded) -> Iterator[Call]:
    send(world.client, by(OWN_KEY, post(SINE)))
    for name, value in (
        ("X-Tenant-Id", "other"),
        ("X-User", "admin"),
        ("X-HTTP-Method-Override", "DELETE"),
    ):
        yield by(OWN_KEY, get("/adaptations", (name, value)))
    yield by(OWN_KEY, get("/adaptations"))


def is_own_list(world: Guarded, answers: Sequence[Answer]) -> None:
    same_bytes(world, answers)
    shown = {one["id"] for one in answers[0].json["data"]}
    assert shown
    assert world.theirs not in shown


def is_empty(world: Guarded, answers: Sequence[Answer]) -> None:
    assert [answer.json["data"] for answer in answers] == [[]]


LIMITS = ("0", "-1", "1.5", "1_0", "%D9%A5", "100000000000000000000")
LISTS: list[Case] = [
    accepted("B171", with_foreign_headers, then=is_own_list),
    refused("B182", 422, "validation", lambda w: [listed(f"limit={one}") for one in LIMITS]),
    refused("B183", 422, "validation", lambda w: [listed("limit=5&limit=6"), listed("order=asc")]),
    refused("B184", 400, "invalid-cursor", cursors, then=same_bytes),
    refused("B185", 400, "invalid-cursor", of_another_filter),
    refused(
        "B186", 422, "validation", lambda w: [listed("status=done"), listed(f"status={INJECTED}")]
    ),
    accepted("B187", lambda w: [listed(f"metadata[user]={INJECTED}")], then=is_empty),
    refused(
        "B188",
        422,
        "validation",
        lambda w: [
            listed("metadata[]=x"),
            listed("&".join(f"metadata[k{n}]=x" for n in range(1000))),
        ],
    ),
]
