"""Every bad input of the catalogue that has a route by now, against the service as it runs.

Not taken up here: what needs limits of its own (tests/surface), or a receiver (tests/webhooks);
policies and trainings.
"""

import json
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.processes import Service, running_service
from tests.refusals.bodies import BODIES
from tests.refusals.callers import CALLERS
from tests.refusals.calls import Answer, Call, send
from tests.refusals.case import Case
from tests.refusals.checkpoints import CHECKPOINTS
from tests.refusals.drawings import DRAWINGS
from tests.refusals.forms import FORMS
from tests.refusals.lists import LISTS
from tests.refusals.lives import LIVES
from tests.refusals.orders import ORDERS
from tests.refusals.predictions import PREDICTIONS
from tests.refusals.states import STATES
from tests.refusals.strangers import OWN_KEY, STRANGERS, Guarded
from tests.refusals.supports import SUPPORTS
from tests.refusals.texts import TEXTS
from tests.refusals.webhooks import WEBHOOKS
from tests.refusals.world import World

OPEN = [
    *BODIES,
    *FORMS,
    *TEXTS,
    *SUPPORTS,
    *ORDERS,
    *PREDICTIONS,
    *STATES,
    *DRAWINGS,
    *CALLERS,
    *WEBHOOKS,
    *LIVES,
    *CHECKPOINTS,
]
GUARDED = [*STRANGERS, *LISTS]
INSIDES = ("Traceback", ".py", "site-packages", "sqlalchemy", "pydantic")
NORMAL = "/predict?checkpoint=sinusoid&input=0.5"

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def world(service: Service) -> Iterator[World]:
    with httpx.Client(base_url=service.base_url, timeout=30) as client:
        found = World(service, client)
        yield found
        found.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """A service with keys, and with little patience for slow bodies."""
    folder = tmp_path_factory.mktemp("guarded")
    variables = {"FEWSTEP_BOOTSTRAP_KEY": OWN_KEY, "FEWSTEP_BODY_TIME_LIMIT_S": "1"}
    with (
        running_service(folder, **variables) as service,
        httpx.Client(base_url=service.base_url, timeout=30) as client,
    ):
        found = Guarded(service, client)
        yield found
        found.close()


@pytest.mark.parametrize("case", OPEN, ids=[case.id for case in OPEN])
def test_the_open_service_answers_as_the_catalogue_says(world: World, case: Case) -> None:
    _run(world, case, {})


@pytest.mark.parametrize("case", GUARDED, ids=[case.id for case in GUARDED])
def test_the_guarded_service_answers_as_the_catalogue_says(guarded: Guarded, case: Case) -> None:
    _run(guarded, case, {"Authorization": f"Bearer {OWN_KEY}"})


def _run(world: World, case: Case, key: dict[str, str]) -> None:
    answers = []
    for call in case.calls(world):
        before, started = world.count(), time.monotonic()
        answer = send(world.client, call)
        took_s = time.monotonic() - started
        assert took_s < (case.within_s or 30), f"{took_s:.1f} s"
        if case.code is None:
            assert answer.status in (200, 201, 202), answer.body[:500]
        else:
            _check_refusal(case, call, answer, world)
            assert world.count() == before, "it left something behind"
        assert world.client.get(NORMAL, headers=key).status_code == 200
        answers.append(answer)
    assert answers
    if case.then is not None:
        case.then(world, answers)


def _check_refusal(case: Case, call: Call, answer: Answer, world: World) -> None:
    assert (answer.status, answer.json.get("code")) == (case.status, case.code), answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["type"] == f"/problems/{case.code}"
    assert len(answer.body) <= 4096
    errors = answer.json.get("errors", [])
    assert len(errors) <= 20
    if call.pointer is not None:
        assert call.pointer in {error["pointer"] for error in errors}
    text = json.dumps(answer.json, ensure_ascii=False)
    told = [word for word in (*INSIDES, str(world.service.data_dir), *call.hidden) if word in text]
    assert not told
