"""A table with holes and names: trained on, added, adapted to and asked about as it is."""

import httpx
import numpy as np
import pytest
from typer.testing import CliRunner

from app.cli.main import app
from app.trainings.order import TrainingOrder
from app.trainings.running import run_training
from app.values.progress import Progress
from tests.journey.requests import adapt, predict_one, refusal
from tests.processes import Service
from tests.trainings.recipes import shortened

pytestmark = pytest.mark.e2e

COLOURS = np.array(["blue", "green", "red"])


def table() -> dict[str, np.ndarray]:
    """12 classes of 12 rows: a third of the numbers is missing, and the colour tells the class."""
    draw = np.random.default_rng(5)
    y = np.repeat(np.arange(12), 12)
    x = draw.normal(size=(12, 6))[y] * 2 + draw.normal(size=(144, 6))
    x = np.where(draw.random(x.shape) < 1 / 3, np.nan, x)
    return {"x": x, "y": y, "categories": COLOURS[y % 3][:, None]}


def rows(given: dict[str, np.ndarray], classes: list[int], places: range) -> list[list[object]]:
    """The rows as JSON has them."""
    pairs = [(12 * c + i) for c in classes for i in places]
    return [
        [None if np.isnan(value) else float(value) for value in given["x"][row]]
        + given["categories"][row].tolist()
        for row in pairs
    ]


@pytest.fixture(scope="module")
def name(tmp_path_factory: pytest.TempPathFactory, service: Service) -> str:
    """The checkpoint of a short run on the table, which the service has."""
    folder = tmp_path_factory.mktemp("tables")
    np.savez(folder / "table.npz", **table())  # type: ignore[arg-type]
    recipe = shortened("features", folder, iterations=4, episodes=6)
    order = TrainingOrder(
        recipe=recipe, name="table", folder=folder / "run", data=folder / "table.npz"
    )
    said: list[str] = []
    file = run_training(order, progress=Progress(), say=said.append)
    assert " in column 0, " in said[0]
    settings = {"FEWSTEP_DATA_DIR": str(service.data_dir)}
    added = CliRunner().invoke(app, ["checkpoints", "add", str(file)], env=settings)
    assert added.exit_code == 0, added.output
    return "table"


def test_rows_with_holes_and_names_are_told_apart(client: httpx.Client, name: str) -> None:
    given, classes = table(), [0, 1, 2]  # of three colours
    support = {
        "inputs": rows(given, classes, range(4)),
        "targets": [str(c) for c in classes for _ in range(4)],
    }

    one = adapt(client, {"checkpoint": name, "support": support})

    asked = rows(given, classes, range(4, 12))
    labels = [predict_one(client, one, row)["label"] for row in asked]
    right = [label == str(c) for label, c in zip(labels, np.repeat(classes, 8), strict=True)]
    assert np.mean(right) > 0.7
    described = client.get(f"/checkpoints/{name}").json()["input"]
    assert described["shape"] == [9]
    assert described["preprocessing"]["categories"] == [["blue", "green", "red"]]


def test_a_name_that_the_table_had_not_is_refused_with_those_it_had(
    client: httpx.Client, name: str
) -> None:
    inputs = rows(table(), [0, 1], range(2))
    inputs[3][6] = "purple"
    support = {"inputs": inputs, "targets": ["a", "a", "b", "b"]}

    answer = client.post("/adapt", json={"checkpoint": name, "support": support})

    assert refusal(answer) == (422, "validation")
    [error] = answer.json()["errors"]
    assert error["pointer"] == "/support/inputs/3/6"
    assert error["detail"] == "expected one of 'blue', 'green', 'red', got another string"
