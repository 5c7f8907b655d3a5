"""A policy over HTTP: it acts before it is adapted, is adapted round by round, and refuses what is
not its own.
"""

import io
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.numpy import save

from models.files.checkpoint import load_checkpoint
from models.policies.advantages import Discounting
from models.policies.inner_step import adapt_policies
from models.policies.policy import Policy
from models.policies.rollouts import rollouts_of
from tests.both_kinds import KINDS, running_kind
from tests.journey.requests import adapt, refusal, sine
from tests.policies.world import EPISODES, Json, collect, untrained
from tests.processes import Service

BINARY = {"Content-Type": "application/octet-stream"}
GOAL = (0.3, -0.2)
STEPS = 12


@pytest.fixture(scope="module", params=KINDS)
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    with running_kind(request.param, tmp_path_factory.mktemp("policies")) as running:
        yield running


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.base_url, timeout=90) as client:
        made = client.post("/checkpoints", content=untrained("point"), headers=BINARY)
        assert made.status_code == 201, made.text
        yield client


@pytest.fixture(scope="module")
def first(client: httpx.Client) -> list[Json]:
    """Rollouts of θ."""
    return collect(client, {"checkpoint": "point"}, GOAL, episodes=EPISODES, steps=STEPS)


@pytest.fixture(scope="module")
def adapted(client: httpx.Client, first: list[Json]) -> Json:
    return adapt(client, {"checkpoint": "point", "rollouts": first})


def test_a_checkpoint_tells_what_it_acts_in(client: httpx.Client) -> None:
    told = client.get("/checkpoints/point").json()["policy"]

    assert told["observation_space"] == {"type": "box", "shape": [2]}
    assert told["action_space"]["low"] == pytest.approx([-0.1, -0.1])
    assert (told["max_episode_steps"], told["step_sizes"][0]) == (100, 0.1)


def test_a_round_is_told_of(adapted: Json) -> None:
    assert (adapted["status"], adapted["task"], adapted["round"]) == ("succeeded", "policy", 1)
    assert (adapted["episodes"], adapted["env_steps"]) == (EPISODES, EPISODES * STEPS)
    assert adapted["step_size"] == pytest.approx(0.1)
    metrics = adapted["metrics"]
    assert metrics["kl"] > 0
    assert metrics["on_policy"]["effective_sample_share"] == pytest.approx(1, abs=1e-3)
    assert len(metrics["std"]) == 2


def test_the_service_takes_the_step_that_the_library_takes(
    client: httpx.Client, first: list[Json], adapted: Json
) -> None:
    checkpoint = load_checkpoint(untrained("point"))
    policy = Policy(network=checkpoint.learner.network, actions=2)
    arrays = {
        "x": np.array([[one["observations"] for one in first]], np.float32),
        "actions": np.array([[one["actions"] for one in first]], np.float32),
        "rewards": np.array([[one["rewards"] for one in first]], np.float32),
        "lengths": np.full((1, EPISODES), STEPS),
        "terminated": np.zeros((1, EPISODES), bool),
    }
    theta = {name: value[None] for name, value in checkpoint.meta.theta.items()}
    how = Discounting(gamma=0.99, gae_lambda=1.0, max_episode_steps=100)
    expected = adapt_policies(policy, theta, rollouts_of(arrays), 0.1, how).params

    found = client.get(f"/adaptations/{adapted['id']}/parameters", params={"format": "npz"})

    with np.load(io.BytesIO(found.content)) as file:
        for name, value in expected.items():
            assert torch.from_numpy(file[name]).numpy() == pytest.approx(
                value[0].numpy(), abs=1e-5, rel=1e-4
            )


def test_ten_lines_of_numpy_act_like_the_service(client: httpx.Client, adapted: Json) -> None:
    found = client.get(f"/adaptations/{adapted['id']}/parameters", params={"format": "npz"})
    with np.load(io.BytesIO(found.content)) as file:
        phi = {name: file[name] for name in file.files}
    observation, seed = np.array([0.1, -0.3]), 7

    hidden = observation
    for layer in (0, 1):
        weight, bias = phi[f"linears.{layer}.weight"], phi[f"linears.{layer}.bias"]
        hidden = np.maximum(weight @ hidden + bias, 0)
    mean = phi["head.weight"] @ hidden + phi["head.bias"]
    noise = np.random.default_rng(seed).standard_normal(len(mean))
    action = mean + np.exp(phi["head.log_std"]) * noise

    body = {"adaptation": adapted["id"], "inputs": [observation.tolist()], "seeds": [seed]}
    told = client.post("/predict", json=body).json()["predictions"][0]
    assert told["sampled_action"] == pytest.approx(action.tolist(), abs=1e-5)
    assert told["action"] == pytest.approx((np.clip(action, -1, 1) * 0.1).tolist(), abs=1e-6)


def test_a_graph_says_what_the_service_says(client: httpx.Client, adapted: Json) -> None:
    found = client.get(f"/adaptations/{adapted['id']}/parameters", params={"format": "onnx"})
    x = np.random.default_rng(5).uniform(-1, 1, (7, 2)).astype(np.float32)

    means, stds = onnxruntime.InferenceSession(found.content).run(None, {"input": x})

    body = {"adaptation": adapted["id"], "inputs": x.tolist(), "deterministic": True}
    told = client.post("/predict", json=body).json()["predictions"]
    assert means == pytest.approx(np.array([one["mean"] for one in told]), abs=1e-5)
    assert stds == pytest.approx(np.array([one["std"] for one in told]), abs=1e-5)


def test_the_inference_protocol_tells_the_likeliest_action(
    client: httpx.Client, adapted: Json
) -> None:
    place = f"/v2/models/{adapted['id']}"
    x = [[0.1, -0.2], [0.3, 0.4]]
    tensor = {"name": "input", "shape": [2, 2], "datatype": "FP32", "data": x}

    told = client.post(f"{place}/infer", json={"inputs": [tensor]}).json()["outputs"]

    body = {"adaptation": adapted["id"], "inputs": x, "deterministic": True}
    known = client.post("/predict", json=body).json()["predictions"]
    assert [one["name"] for one in told] == ["action", "mean", "std"]
    assert [one["name"] for one in client.get(place).json()["outputs"]] == ["action", "mean", "std"]
    for one in told:
        expected = [value for row in known for value in row[one["name"]]]
        assert one["data"] == pytest.approx(expected, abs=1e-6)


def test_a_get_is_the_same_every_time_and_a_seed_is_told(
    client: httpx.Client, adapted: Json
) -> None:
    asked = {"adaptation": adapted["id"], "input": "[0.1, 0.2]"}
    answers = [client.get("/predict", params=asked).json()["predictions"] for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0][0]["seed"] is None

    body = {"adaptation": adapted["id"], "inputs": [[0.1, 0.2], [0.1, 0.2]]}
    drawn = client.post("/predict", json=body).json()["predictions"]
    again = client.post("/predict", json=body | {"seeds": [one["seed"] for one in drawn]})
    assert again.json()["predictions"] == drawn
    assert drawn[0]["sampled_action"] != drawn[1]["sampled_action"]


def test_a_second_round_goes_on_from_the_first(client: httpx.Client, adapted: Json) -> None:
    whose = {"adaptation": adapted["id"]}
    rollouts = collect(client, whose, GOAL, episodes=EPISODES, steps=STEPS)

    second = adapt(client, {"continues": adapted["id"], "rollouts": rollouts})

    assert (second["round"], second["continues"]) == (2, adapted["id"])
    assert second["step_size"] == pytest.approx(0.05)


def test_rollouts_of_another_policy_are_refused(
    client: httpx.Client, first: list[Json], adapted: Json
) -> None:
    def send(rollouts: list[Json], **more: Any) -> httpx.Response:
        for one in rollouts:
            one.pop("log_probs", None)
        return client.post("/adapt", json={"checkpoint": "point", "rollouts": rollouts} | more)

    still = deepcopy(first)
    for one in still:
        body = {"checkpoint": "point", "inputs": one["observations"][:-1], "deterministic": True}
        told = client.post("/predict", json=body).json()["predictions"]
        one["actions"] = [each["sampled_action"] for each in told]
    cut = deepcopy(first)
    for one in cut:
        one["actions"] = np.clip(one["actions"], -0.5, 0.5).tolist()
    loud = deepcopy(first)
    for one in loud:
        one["actions"] = (2.5 * np.array(one["actions"])).tolist()
    for rollouts, cause in ((still, "without noise"), (cut, "sampled_action"), (loud, "another")):
        answer = send(rollouts)
        assert refusal(answer) == (422, "off-policy")
        assert cause in answer.text
    wrong = deepcopy(first)
    wrong[0]["log_probs"][3] += 0.01
    answer = client.post("/adapt", json={"checkpoint": "point", "rollouts": wrong})
    assert refusal(answer) == (422, "off-policy")


def changed(rollouts: list[Json], **fields: Any) -> list[Json]:
    return [rollouts[0] | fields, *rollouts[1:]]


def test_every_row_of_bad_rollouts_is_answered(
    client: httpx.Client, first: list[Json], adapted: Json
) -> None:
    one = first[0]
    nan = [[1e39, 0.0], *one["observations"][1:]]
    cases: list[tuple[Json, tuple[int, str], str]] = [
        (
            {"rollouts": changed(first, observations=one["observations"][:-1])},
            (422, "length-mismatch"),
            "/rollouts/0/observations",
        ),
        (
            {"rollouts": changed(first, rewards=one["rewards"][:-1])},
            (422, "length-mismatch"),
            "/rollouts/0/rewards",
        ),
        (
            {"rollouts": changed(first, observations=[[1.0]] * (STEPS + 1))},
            (422, "shape-mismatch"),
            "/rollouts/0/observations",
        ),
        (
            {"rollouts": changed(first, observations=[[1.0, 2.0]] * STEPS + [[1.0]])},
            (422, "ragged-array"),
            "/rollouts/0/observations",
        ),
        (
            {"rollouts": changed(first, observations=nan)},
            (422, "validation"),
            "/rollouts/0/observations/0/0",
        ),
        (
            {"rollouts": changed(first, rewards=["1"] * STEPS)},
            (422, "validation"),
            "/rollouts/0/rewards/0",
        ),
        ({"rollouts": []}, (422, "empty-support"), "/rollouts"),
        (
            {
                "rollouts": changed(
                    first, observations=[[0.0, 0.0]], actions=[], rewards=[], log_probs=[]
                )
            },
            (422, "empty-support"),
            "/rollouts/0/actions",
        ),
        ({"rollouts": changed(first, truncated=False)}, (422, "validation"), "/rollouts/0"),
        ({"rollouts": changed(first, terminated=True)}, (422, "validation"), "/rollouts/0"),
        ({"rollouts": first * 40}, (413, "too-many-examples"), "/rollouts"),
        ({"rollouts": first, "steps": 2}, (422, "validation"), "/steps"),
        ({"rollouts": first, "assess": True}, (422, "validation"), "/assess"),
        ({"support": sine()["support"]}, (422, "validation"), "/support"),
        ({"rollouts": first, "support": sine()["support"]}, (422, "validation"), ""),
        ({"rollouts": first, "checkpoint": "sinusoid"}, (422, "validation"), "/rollouts"),
        (
            {"rollouts": first, "checkpoint": None, "continues": "ad_" + "0" * 32},
            (404, "not-found"),
            "",
        ),
        (
            {"rollouts": first, "checkpoint": None, "extends": adapted["id"]},
            (422, "validation"),
            "/extends",
        ),
        ({"rollouts": [{**one, "more": 1}]}, (422, "validation"), "/rollouts/0/more"),
        ({"rollouts": {}}, (422, "validation"), "/rollouts"),
    ]
    for fields, expected, pointer in cases:
        answer = client.post("/adapt", json={"checkpoint": "point"} | fields)
        assert refusal(answer) == expected, (answer.text, expected)
        if pointer:
            assert pointer in {error["pointer"] for error in answer.json()["errors"]}, answer.text
    number = adapt(client, sine())
    answer = client.post("/adapt", json={"continues": number["id"], "rollouts": first})
    assert refusal(answer) == (422, "validation")
    much = STEPS * 9
    long = changed(
        first,
        observations=[[0.0, 0.0]] * (much + 1),
        actions=[[0.0, 0.0]] * much,
        rewards=[0.0] * much,
        log_probs=None,
    )
    assert refusal(client.post("/adapt", json={"checkpoint": "point", "rollouts": long})) == (
        422,
        "validation",
    )


def test_one_that_has_not_ended_is_not_gone_on_from(
    client: httpx.Client, first: list[Json]
) -> None:
    asked = {"checkpoint": "point", "rollouts": first, "name": "cancelled"}
    made = client.post("/adapt", json=asked, headers={"Prefer": "respond-async"}).json()
    client.post(f"/adaptations/{made['id']}/cancel")
    again = client.post("/adapt", json={"continues": made["id"], "rollouts": first})

    assert again.status_code in (201, 409, 422)  # it may have been faster
    assert again.status_code < 500


def test_few_and_equal_episodes_are_warned_of(client: httpx.Client, first: list[Json]) -> None:
    equal = [one | {"rewards": [0.5] * STEPS} for one in first[:3]]

    made = adapt(client, {"checkpoint": "point", "rollouts": equal})

    assert {one["code"] for one in made["warnings"]} == {"few-episodes", "equal-returns"}
    assert made["metrics"]["kl"] == pytest.approx(0, abs=1e-7)


def file_of(rollouts: list[Json]) -> dict[str, Any]:
    return {
        "observations": np.concatenate([one["observations"] for one in rollouts]).astype("f4"),
        "actions": np.concatenate([one["actions"] for one in rollouts]).astype("f4"),
        "rewards": np.concatenate([one["rewards"] for one in rollouts]).astype("f4"),
        "lengths": np.array([len(one["rewards"]) for one in rollouts]),
        "terminated": np.array([one["terminated"] for one in rollouts]),
        "truncated": np.array([one["truncated"] for one in rollouts]),
    }


def test_a_file_of_tensors_is_the_same_rollouts(
    client: httpx.Client, first: list[Json], adapted: Json
) -> None:
    def send(tensors: dict[str, Any]) -> httpx.Response:
        parts = {
            "request": (None, '{"checkpoint": "point"}', "application/json"),
            "rollouts": ("rollouts.safetensors", save(tensors), "application/octet-stream"),
        }
        return client.post("/adapt", files=parts)

    made = send(file_of(first))
    assert made.status_code == 201, made.text
    assert made.json()["metrics"]["mean_return"] == pytest.approx(
        adapted["metrics"]["mean_return"], rel=1e-5
    )
    short = file_of(first)
    short["observations"] = short["observations"][:-1]
    assert refusal(send(short)) == (422, "length-mismatch")
    wide = file_of(first)
    wide["actions"] = np.concatenate([wide["actions"]] * 2, axis=1)
    assert refusal(send(wide)) == (422, "shape-mismatch")
    less = file_of(first)
    del less["truncated"]
    assert refusal(send(less)) == (422, "validation")
    answer = client.post(
        "/adapt",
        files={"request": (None, '{"checkpoint": "point"}'), "rollouts": ("x", b"no tensors")},
    )
    assert refusal(answer) == (422, "validation")


def test_seeds_and_determinism_are_a_policys_alone(client: httpx.Client) -> None:
    for field, value in (("seeds", [1]), ("deterministic", True)):
        body = {"checkpoint": "sinusoid", "inputs": [0.5], field: value}
        assert refusal(client.post("/predict", json=body)) == (422, "validation")
    body = {"checkpoint": "point", "inputs": [[0.0, 0.0]], "seeds": [1, 2]}
    assert refusal(client.post("/predict", json=body)) == (422, "length-mismatch")
