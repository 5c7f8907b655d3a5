"""The parameters taken away predict what the service predicts, with NumPy and the docs alone."""

import re
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.journey.requests import (
    NAMES,
    Json,
    adapt,
    characters,
    drawing,
    predict,
    predict_one,
    queries,
    refusal,
    sine,
    table,
)

pytestmark = pytest.mark.e2e
PAGE = Path(__file__).parents[2] / "docs" / "reproduce_phi.md"
FORMAT = {"format": "safetensors"}


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """What the page's two pieces of code define; they import nothing of ours."""
    pieces = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    code = "\n".join(piece for piece in pieces if "def " in piece)
    assert not re.search(
        r"\b(torch|models|app|fewstep\.)\b\s+import|import (torch|models|app)", code
    )
    defined: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), defined)
    return defined


def download(client: httpx.Client, one: Json, folder: Path) -> Path:
    answer = client.get(f"/adaptations/{one['id']}/parameters", params=FORMAT)
    assert answer.status_code == 200, answer.text
    file = folder / f"{one['id']}.safetensors"
    file.write_bytes(answer.content)
    return file


def test_numpy_alone_reproduces_a_classifier(
    client: httpx.Client, page: dict[str, Any], tmp_path: Path
) -> None:
    one = adapt(client, characters())
    file = download(client, one, tmp_path)
    _, description = page["read"](file)
    for index, name in enumerate(NAMES):
        (tmp_path / f"{index}.png").write_bytes(drawing(name, 5))

    x = np.concatenate(
        [
            page["picture"](tmp_path / f"{index}.png", description["input"]["preprocessing"])
            for index in range(5)
        ]
    )
    found = page["predict"](file, x)

    shown = [predict_one(client, one, x[index].tolist()) for index in range(5)]
    np.testing.assert_allclose(found, table(shown), atol=1e-5)
    assert description["classes"] == one["classes"]
    served = predict(client, one, queries()["inputs"][2::3])  # the same drawings, as pictures
    np.testing.assert_allclose(found, table(served), atol=1e-5)


def test_numpy_alone_reproduces_a_regression(
    client: httpx.Client, page: dict[str, Any], tmp_path: Path
) -> None:
    one = adapt(client, sine())
    x = np.linspace(-5, 5, 50, dtype=np.float32)[:, None]

    found = page["predict"](download(client, one, tmp_path), x)

    np.testing.assert_allclose(found, table(predict(client, one, x.tolist())), atol=1e-5)


def test_the_file_is_whole_and_known_by_its_etag(client: httpx.Client) -> None:
    one = adapt(client, sine())
    where = f"/adaptations/{one['id']}/parameters"

    first = client.get(where, params=FORMAT)
    again = client.get(where, params=FORMAT, headers={"If-None-Match": first.headers["etag"]})

    assert first.headers["content-type"] == "application/octet-stream"
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


@pytest.mark.parametrize("query", [{"format": "pickle"}, {}, {"format": "safetensors", "x": "1"}])
def test_other_formats_are_refused(client: httpx.Client, query: dict[str, str]) -> None:
    one = adapt(client, sine())

    answer = client.get(f"/adaptations/{one['id']}/parameters", params=query)

    assert refusal(answer) == (422, "validation")
    assert "safetensors" in answer.text or "x" in query
