"""A run ends at the first number that is none: it says where, and writes no checkpoint."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from app.cli.main import app
from models.outer_loop import MetaParams, NotFinite, check_finite
from tests.trainings.recipes import shortened, write_curves, write_vectors
from tests.trainings.test_running import RECIPE, logged


def told(*arguments: object) -> tuple[int, str]:
    """Exit code and the last line of ``fewstep train``."""
    result = CliRunner().invoke(app, ["train", *map(str, arguments)])
    return result.exit_code, (result.stderr.splitlines() or [""])[-1]


def test_a_run_whose_loss_overflows_stops_at_that_step(tmp_path: Path) -> None:
    file = tmp_path / "wild.toml"
    file.write_text(re.sub(r"(?m)^learning_rate = .*$", "learning_rate = 1e18", RECIPE))

    code, line = told(file, "--out", tmp_path)

    steps = len(logged(tmp_path))
    assert code == 2
    assert line.startswith(f"fewstep: outer step {steps + 1}: the loss is not finite; ")
    assert 0 < steps < 10
    assert all(np.isfinite(loss) for loss in losses(tmp_path))
    assert not list(tmp_path.glob("*.safetensors"))


def losses(folder: Path) -> list[float]:
    rows = (folder / "scalars.csv").read_text().splitlines()[1:]
    return [float(row.split(",")[1]) for row in rows]


@pytest.mark.parametrize("learning_rate", ["1e37", "1e30"])
def test_a_run_whose_parameters_overflow_at_its_end_writes_nothing(
    tmp_path: Path, learning_rate: str
) -> None:
    text = re.sub(
        r"(?m)^(final_)?learning_rate = .*$", rf"\1learning_rate = {learning_rate}", RECIPE
    )
    text = re.sub(r"(?m)^iterations = .*$", "iterations = 1", text)
    file = tmp_path / "wild.toml"
    file.write_text(text.replace(text[text.rindex("[[stages]]") : text.index("[validation]")], ""))

    code, line = told(file, "--out", tmp_path)

    assert code == 2
    assert line.startswith("fewstep: validation after outer step 1: ")
    assert not list(tmp_path.glob("*.safetensors"))


def test_values_beyond_what_squares_hold_end_at_the_first_step(tmp_path: Path) -> None:
    recipe = shortened("series", tmp_path, iterations=4, episodes=6)
    text = Path(recipe).read_text().replace('kind = "bayesian"', 'kind = "linear"')
    text = re.sub(r'"bayesian"', '"all"', text).replace('algorithm = "all"', 'algorithm = "maml"')
    Path(recipe).write_text(text.replace("chooses = true", ""))
    data = write_curves(tmp_path / "curves.npz")
    with np.load(data) as read:
        np.savez(data, x=read["x"], y=read["y"] * 1e30)

    code, line = told(recipe, "--data", data, "--out", tmp_path / "run")

    assert code == 2
    assert line.startswith("fewstep: outer step 1: the loss is not finite; look for numbers")


def test_a_finite_loss_with_a_gradient_that_is_none_is_refused() -> None:
    theta = {"a": torch.ones(2, requires_grad=True), "b": torch.zeros(2, requires_grad=True)}
    meta = MetaParams(theta=theta)

    loss = (theta["a"] + theta["b"].sqrt()).sum()  # the root's slope at 0 is infinite
    loss.backward()

    with pytest.raises(NotFinite, match="the meta-gradient is not finite"):
        check_finite(loss.item(), meta)
    theta["b"].grad = None
    check_finite(loss.item(), meta)


def test_a_classifier_that_says_no_class_any_more_writes_nothing(tmp_path: Path) -> None:
    """An accuracy is finite whatever the scores are: the first of five NaN is the largest."""
    recipe = Path(shortened("features", tmp_path, iterations=1, episodes=6))
    text = re.sub(r"(?m)^learning_rate = .*$", "learning_rate = 1e37", recipe.read_text())
    first, second = text.split("[[stages]]")[:2]
    recipe.write_text(f"{first}[[stages]]{second}[validation]{text.split('[validation]')[1]}")

    code, line = told(
        recipe, "--data", write_vectors(tmp_path / "v.npz"), "--out", tmp_path / "run"
    )

    assert code == 2
    assert line.startswith("fewstep: validation after outer step 1: ")
    assert not list((tmp_path / "run").glob("features.safetensors"))
