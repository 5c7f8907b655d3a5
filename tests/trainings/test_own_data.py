"""Trainings on people's own data end with what they are worth, in words and in the file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app.trainings.order import TrainingOrder
from app.trainings.running import run_training
from app.values.progress import Progress
from models.files.checkpoint import Checkpoint, load_checkpoint
from tests.glyphs import draw_glyphs
from tests.trainings.recipes import shortened, write_curves, write_vectors

RIVALS = {
    "pictures": ("class means of the inputs", "nearest input"),
    "features": ("class means of the inputs", "nearest input"),
    "series": ("mean of the support", "nearest input", "cubic ridge"),
}


def data_for(name: str, folder: Path) -> Path:
    if name == "pictures":
        return draw_glyphs(folder / "glyphs", signs="ABEHKMRS", pictures=12)
    write = write_vectors if name == "features" else write_curves
    return write(folder / f"{name}.npz")


def trained(recipe: str, data: Path, folder: Path) -> tuple[Checkpoint, list[str]]:
    """The checkpoint of a run, and the sentences that it said."""
    said: list[str] = []
    order = TrainingOrder(recipe=recipe, folder=folder, data=data)
    file = run_training(order, progress=Progress(), say=said.append)
    assert file is not None
    return load_checkpoint(file.read_bytes()), said


@pytest.mark.parametrize("name", list(RIVALS))
def test_every_run_ends_with_its_choice_its_score_and_the_simplest_methods(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("app.trainings.publishing.TEST_EPISODES", 20)

    recipe = shortened(name, tmp_path, iterations=4, episodes=6)
    checkpoint, said = trained(recipe, data_for(name, tmp_path), tmp_path / "run")

    chosen = checkpoint.provenance["chosen"]
    served = checkpoint.inner_loop
    asked = ("adapts", "steps", "step_size")
    assert {key: chosen["taken"][key] for key in asked} == {k: getattr(served, k) for k in asked}
    assert chosen["loop"]["steps"] == served.steps
    assert checkpoint.evaluation[0]["steps"] == checkpoint.recipe.steps
    [choice] = [line for line in said if "by default" in line]
    [score] = [line for line in said if " over 20 test episodes" in line]
    [beside] = [line for line in said if line.startswith("beside it")]
    assert said.index(choice) < said.index(score) < said.index(beside)
    assert all(rival in beside for rival in RIVALS[name])


@pytest.mark.parametrize(("name", "write"), [("features", write_vectors), ("series", write_curves)])
def test_other_units_change_nothing_of_what_is_learned(
    name: str,
    write: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.trainings.publishing.TEST_EPISODES", 20)
    recipe = shortened(name, tmp_path, iterations=16, episodes=6)
    plain = write(tmp_path / "plain.npz")
    shifted = write(tmp_path / "shifted.npz", factor=1000.0, shift=300.0)

    one, _ = trained(recipe, plain, tmp_path / "one")
    other, _ = trained(recipe, shifted, tmp_path / "other")

    assert other.network_config["centre"] != one.network_config["centre"]
    assert other.evaluation[0]["mean"] == pytest.approx(one.evaluation[0]["mean"], abs=2e-3)


def test_dark_glyphs_on_light_paper_are_prepared_as_ink_and_the_file_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("app.trainings.publishing.TEST_EPISODES", 60)
    data = draw_glyphs(tmp_path / "glyphs", signs="ABEGHKMNRS2346", pictures=12)
    recipe = Path(shortened("pictures", tmp_path, iterations=12, episodes=20))

    checkpoint, said = trained(str(recipe), data, tmp_path / "run")

    assert checkpoint.preprocessing is not None
    assert checkpoint.preprocessing["preparation"] == "ink"
    assert checkpoint.provenance["recipe"]["distribution"]["preparation"] == "ink"
    assert said[0].startswith("preparation becomes ink; ")
    served = checkpoint.evaluation[0]["mean"]
    [beside] = [line for line in said if line.startswith("beside it")]
    unadapted = float(beside.partition("no inner step ")[2][:6] or served)
    assert served >= max(unadapted - 0.02, 0.5)
