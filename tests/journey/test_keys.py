"""Keys: needed as soon as one exists; what belongs to another tenant does not exist."""

import base64
import hashlib
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.journey.requests import Json, adapt, refusal, sine
from tests.processes import FEWSTEP, Service, clean_environment, running_service

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
UNKNOWN = "ad_" + "0" * 32


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """A service with two tenants, and what the first one and nobody made there."""

    service: Service
    before: tuple[int, str]
    mine: str
    theirs: str
    revoked: str
    expired: str
    adaptation: Json
    keyless: Json

    def client(self, key: str | None) -> httpx.Client:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.service.base_url, headers=headers, timeout=90)


def keys(service: Service, *arguments: str, **variables: str) -> str:
    """What `fewstep keys` prints for a person on the service's machine."""
    environment = clean_environment(FEWSTEP_DATA_DIR=str(service.data_dir), **variables)
    ended = subprocess.run(
        [FEWSTEP, "keys", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return ended.stdout


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with running_service(tmp_path_factory.mktemp("keys")) as service:
        with httpx.Client(base_url=service.base_url, timeout=90) as anybody:
            keyless = adapt(anybody, sine())
            before = anybody.get(f"/adaptations/{keyless['id']}").status_code
        mine, theirs, revoked, expired = (
            keys(service, "create", "--tenant", tenant).strip()
            for tenant in ("mine", "theirs", "mine", "mine")
        )
        end(service, revoked, "revoked_at = 1")
        end(service, expired, "expires_at = 1")
        authorised = {"Authorization": f"Bearer {mine}"}
        with httpx.Client(base_url=service.base_url, headers=authorised, timeout=90) as client:
            adaptation = adapt(client, sine(), **{"Idempotency-Key": "shared"})
        yield House(
            service=service,
            before=(before, keyless["status"]),
            mine=mine,
            theirs=theirs,
            revoked=revoked,
            expired=expired,
            adaptation=adaptation,
            keyless=keyless,
        )


def end(service: Service, key: str, change: str) -> None:
    """Changes the row of a key by hand."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    with sqlite3.connect(service.data_dir / "fewstep.db", timeout=20) as database:
        statement = f"UPDATE api_keys SET {change} WHERE secret_sha256 = ?"
        assert database.execute(statement, [digest]).rowcount == 1
    database.close()


def test_without_a_key_anybody_on_this_machine_was_served_before(house: House) -> None:
    assert house.before == (200, "succeeded")


def test_from_the_first_key_on_all_that_matters_needs_one(house: House) -> None:
    where = f"/adaptations/{house.keyless['id']}"
    with house.client(None) as nobody:
        answers = [
            nobody.post("/adapt", json=sine()),
            nobody.get(where),
            nobody.get(f"{where}/parameters", params={"format": "safetensors"}),
            nobody.get("/predict", params={"adaptation": house.keyless["id"], "input": "1"}),
            nobody.post("/predict", json={"checkpoint": "sinusoid", "inputs": [1.0]}),
            nobody.get("/checkpoints"),
            nobody.get("/checkpoints/sinusoid"),
            nobody.get("/limits"),
            nobody.post("/adapt", json=sine(), params={"key": house.mine}),
        ]
        open_to_all = [nobody.get(path).status_code for path in ("/livez", "/readyz")]

    assert {refusal(answer) for answer in answers} == {(401, "unauthenticated")}
    assert all(answer.headers["www-authenticate"].startswith("Bearer") for answer in answers)
    assert open_to_all == [200, 200]


def test_keys_that_are_none_are_refused_with_the_same_bytes(house: House) -> None:
    wrong = [
        "fs_" + "x" * 43,
        house.revoked,
        house.expired,
        "sk_" + "x" * 43,
        house.mine[:-1],
        house.mine + "a",
        "a" * 10_000,
    ]
    answers = []
    for key in wrong:
        with house.client(key) as client:
            answers.append(client.get("/limits"))

    assert {refusal(answer) for answer in answers} == {(401, "unauthenticated")}
    assert len({answer.content for answer in answers}) == 1


def test_a_key_opens_as_bearer_and_as_the_password_of_basic(house: House) -> None:
    basic = base64.b64encode(f"anybody:{house.mine}".encode()).decode()
    where = f"{house.service.base_url}/adaptations/{house.adaptation['id']}"

    for value in (f"Bearer {house.mine}", f"bearer {house.mine}", f"Basic {basic}"):
        answer = httpx.get(where, headers={"Authorization": value})
        assert (answer.status_code, answer.json()["id"]) == (200, house.adaptation["id"])


def test_two_keys_in_one_request_are_one_too_many(house: House) -> None:
    headers = [("Authorization", f"Bearer {key}") for key in (house.mine, house.theirs)]

    answer = httpx.get(f"{house.service.base_url}/limits", headers=headers)

    assert refusal(answer) == (400, "bad-request")


@pytest.mark.parametrize("whose", ["mine", "theirs"])
def test_what_is_anothers_answers_as_what_never_was(house: House, whose: str) -> None:
    key, foreign = {
        "mine": (house.mine, house.keyless["id"]),
        "theirs": (house.theirs, house.adaptation["id"]),
    }[whose]
    with house.client(key) as client:
        answers = {one: everywhere(client, one) for one in (foreign, UNKNOWN)}

    for refused, unknown in zip(*answers.values(), strict=True):
        assert refusal(refused) == (404, "not-found")
        assert refused.content == unknown.content
        assert without_times(refused) == without_times(unknown)


def without_times(answer: httpx.Response) -> dict[str, str]:
    """The headers but for the request's own: its id, the date, how long each named part took."""
    own = ("date", "x-request-id")
    kept = {name: value for name, value in answer.headers.items() if name not in own}
    return kept | {"server-timing": re.sub(r"dur=[0-9.]+", "dur=", kept["server-timing"])}


def everywhere(client: httpx.Client, adaptation_id: str) -> list[httpx.Response]:
    """What every route answers that takes an adaptation's id."""
    where = f"/adaptations/{adaptation_id}"
    extending = sine(extends=adaptation_id)
    del extending["checkpoint"]
    return [
        client.get(where),
        client.get(where, params={"wait": 1}),
        client.get(f"{where}/parameters", params={"format": "safetensors"}),
        client.get(
            f"{where}/parameters", params={"format": "safetensors"}, headers={"If-None-Match": "*"}
        ),
        client.get("/predict", params={"adaptation": adaptation_id, "input": "1"}),
        client.post("/predict", json={"adaptation": adaptation_id, "inputs": [1.0]}),
        client.post("/adapt", json=extending),
    ]


def test_the_owner_still_has_it(house: House) -> None:
    with house.client(house.mine) as client:
        answers = everywhere(client, house.adaptation["id"])

    assert [answer.status_code for answer in answers] == [200, 200, 200, 304, 200, 200, 201]


def test_tenants_do_not_share_idempotency_keys(house: House) -> None:
    with house.client(house.theirs) as client:
        other = adapt(client, sine(height=1.0), **{"Idempotency-Key": "shared"})

    assert other["id"] != house.adaptation["id"]


def test_no_key_is_ever_written_to_the_log_or_the_database(house: House) -> None:
    written = house.service.log.read_bytes()
    for file in house.service.data_dir.rglob("fewstep.db*"):
        written += file.read_bytes()

    for key in (house.mine, house.theirs, house.revoked, house.expired):
        assert key.encode() not in written
        assert key[3:].encode() not in written
