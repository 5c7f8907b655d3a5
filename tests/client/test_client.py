"""The Python client against the running service."""

import asyncio
import time
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from fewstep_client import (
    AdaptationFailed,
    AsyncClient,
    Client,
    FewstepError,
    Gone,
    Invalid,
    NotFound,
)
from PIL import Image

from tests.journey.requests import CHARACTERS, NAMES, drawing
from tests.processes import Service
from tests.surface.test_registry import renamed

X = np.linspace(-4, 4, 10)


def five(tmp_path: Path) -> Path:
    """A folder with a folder of one picture for each of five characters."""
    for name in NAMES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.png").write_bytes(drawing(name, 1))
    return tmp_path


def test_a_folder_is_adapted_to_and_pictures_in_any_form_are_told(
    client: Client, tmp_path: Path
) -> None:
    letters = client.adapt("omniglot-5way-1shot", five(tmp_path), name="letters")

    kem = CHARACTERS / "kem" / "02.png"
    for form in (kem, kem.read_bytes(), Image.open(kem), Image.open(kem).convert("RGB")):
        assert letters.predict(form)["label"] == "kem"
    assert letters.classes == sorted(NAMES)
    assert letters.predict(kem, top_k=1)["probabilities"].keys() == {"kem"}
    assert client.predict(letters.id, kem, reject=True)["label"] in ("kem", None)


def test_arrays_numbers_and_queries_go_in_as_they_are(client: Client) -> None:
    wave = client.adapt("sinusoid", X, np.sin(X), query=(X[:3], np.sin(X[:3])), assess=True)

    assert len(wave.predictions or []) == 3
    assert wave.metrics["query_mse"] < 1
    assert "leave_one_out_mse" in wave.metrics
    assert [one["value"] for one in wave.predict_many(X[:3])] == [
        one["value"] for one in wave.predictions or []
    ]
    more = wave.extend([5.0], [float(np.sin(5))])
    assert more.raw["support_examples"] == 11
    assert more.raw["extends"] == wave.id


def test_an_adaptation_is_found_changed_saved_and_deleted(client: Client, tmp_path: Path) -> None:
    tag = uuid4().hex
    wave = client.adapt("sinusoid", X, np.sin(X), metadata={"tag": tag}, name="a")

    assert [one.id for one in client.list(metadata={"tag": tag})] == [wave.id]
    assert wave.update(name=None, ttl_seconds=3600).raw["name"] is None
    assert client.get(wave.id).raw == wave.raw
    for name in ("wave.safetensors", "wave.npz", "wave.onnx"):
        assert wave.save(tmp_path / name).stat().st_size > 1000
    wave.delete()
    with pytest.raises(NotFound) as missing:
        client.get(wave.id)
    assert (missing.value.status, missing.value.code) == (404, "not-found")


def test_lists_go_through_every_part(client: Client) -> None:
    tag = uuid4().hex
    waves = [(X[: 3 + i % 5], np.cos(X[: 3 + i % 5])) for i in range(45)]
    told: list[tuple[int, int]] = []

    made = client.adapt_many(
        "sinusoid",
        waves,
        options=[{"metadata": {"tag": tag}, "name": str(i)} for i in range(45)],
        progress=lambda done, total: told.append((done, total)),
    )

    assert told == [(i + 1, 45) for i in range(45)]
    ids = [one.id for one in made if not isinstance(one, FewstepError)]
    assert sorted(one.id for one in client.list(metadata={"tag": tag})) == sorted(ids)
    assert [one.raw["name"] for one in made] == [str(i) for i in range(45)]  # type: ignore[union-attr]


def test_one_of_many_that_is_wrong_stands_in_its_place(client: Client) -> None:
    made = client.adapt_many("sinusoid", [(X, np.sin(X)), (X, X[:3]), ([], [])], progress=False)

    assert [getattr(one, "code", "made") for one in made] == [
        "made",
        "length-mismatch",
        "empty-support",
    ]


def test_what_happens_is_followed_to_its_end(client: Client) -> None:
    wave = client.adapt("sinusoid", X, np.cos(X), wait_s=0)

    kinds = [event["type"] for event in client.follow(wave.id)]

    assert kinds == ["adaptation.queued", "adaptation.running", "adaptation.succeeded"]
    assert [event["type"] for event in client.events(wave.id)] == kinds
    assert wave.wait().status == "succeeded"
    with pytest.raises(FewstepError, match="conflict"):
        wave.cancel()


def test_what_ends_without_a_result_says_why(client: Client) -> None:
    body = (X, np.sin(X))
    huge = client.adapt("sinusoid", *body, assess=True, adapts="auto", wait_s=0, check=False)
    with_result = huge.wait()
    assert with_result.status == "succeeded"

    short = client.adapt("sinusoid", *body, ttl_seconds=1)
    time.sleep(1.2)
    with pytest.raises(Gone):
        short.predict(0.5)
    with pytest.raises(AdaptationFailed):
        client.get(short.id).check()


def test_a_refusal_points_at_every_wrong_place(client: Client) -> None:
    with pytest.raises(Invalid) as refused:
        client.adapt("sinusoid", X, np.sin(X), steps=-1, nonsense=3)

    assert {one.pointer for one in refused.value.places} == {"/steps", "/nonsense"}
    assert "/nonsense" in str(refused.value)
    for wrong in (np.array([np.nan]), object(), b"no picture"):
        with pytest.raises((ValueError, TypeError)):
            client.adapt("sinusoid", [wrong], [1.0])


def test_checkpoints_are_uploaded_named_and_ended(client: Client, tmp_path: Path) -> None:
    name = f"sine-{uuid4().hex[:8]}"
    file = tmp_path / "sine.safetensors"
    file.write_bytes(renamed(name))

    assert client.upload_checkpoint(file)["version"] == 1
    assert client.set_alias(name, "live", 1)["aliases"] == ["live"]
    assert client.checkpoint(f"{name}@live")["version"] == 1
    assert client.download_checkpoint(name, 1) == file.read_bytes()
    assert name in [one["name"] for one in client.checkpoints()]
    client.delete_alias(name, "live")
    client.delete_checkpoint(name, 1)
    assert name not in [one["name"] for one in client.checkpoints()]


def test_usage_and_limits_are_told(client: Client) -> None:
    assert client.limits()["object"] == "limits"
    assert client.usage()["tenant"] == "default"
    assert list(client.keys()) == []
    assert [one["id"] for one in client.tenants()] == ["default"]


def test_asyncio_does_the_same(service: Service, tmp_path: Path) -> None:
    async def go() -> None:
        async with AsyncClient(service.base_url) as client:
            waves = await asyncio.gather(
                *(client.adapt("sinusoid", X, np.sin(X - i)) for i in range(5))
            )
            values = await asyncio.gather(*(wave.predict(0.5) for wave in waves))
            assert len({one["value"][0] for one in values}) == 5
            many = await client.adapt_many("sinusoid", [(X, np.cos(X))] * 3, progress=False)
            assert [one.status for one in many] == ["succeeded"] * 3  # type: ignore[union-attr]
            assert [e["type"] async for e in client.follow(waves[0].id)][-1] == (
                "adaptation.succeeded"
            )
            tag = uuid4().hex
            await waves[0].update(metadata={"tag": tag})
            assert [one.id async for one in client.list(metadata={"tag": tag})] == [waves[0].id]
            assert len(await client.parameters(waves[0].id, format="npz")) > 1000
            more = await waves[1].extend([5.0], [0.1])
            await more.delete()
            with pytest.raises(NotFound):
                await client.get(more.id)
            assert [one["name"] async for one in client.checkpoints()]

    asyncio.run(go())
