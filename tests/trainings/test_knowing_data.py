"""A run knows what it was begun with, and a checkpoint what it was trained on."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner, Result

from app.cli.main import app
from app.trainings.order import TrainingOrder
from app.trainings.running import run_training
from app.values.progress import Progress
from models.files.checkpoint import dump_checkpoint, load_checkpoint
from tests.glyphs import draw_glyphs
from tests.trainings.recipes import shortened, write_curves, write_vectors
from tests.trainings.test_running import RECIPE

SPLIT = ("test", "validation", "train", "train")


def train(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["train", *arguments])


def evaluate(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["evaluate", *arguments, "--episodes", "4"])


@pytest.fixture(autouse=True)
def short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("app.trainings.publishing.TEST_EPISODES", 4)


def plain(name: str, folder: Path, iterations: int = 8) -> str:
    """The shortened recipe, without what it would take over from the data."""
    file = Path(shortened(name, folder, iterations=iterations, episodes=4))
    file.write_text(file.read_text().replace("standardise = true", ""))
    return str(file)


def other_labels(file: Path, made: Path) -> Path:
    """The same x with the classes' labels drawn anew."""
    given = np.load(made)
    np.savez(file, x=given["x"], y=np.random.default_rng(1).permutation(given["y"]))
    return file


@pytest.mark.parametrize("steps", ["5", "0"])
def test_a_run_does_not_go_on_with_other_data(tmp_path: Path, steps: str) -> None:
    recipe = plain("features", tmp_path)
    mine = write_vectors(tmp_path / "mine.npz")
    other = other_labels(tmp_path / "other.npz", mine)
    first = train(recipe, "--data", str(mine), "--name", "m", "--stop-after", steps)

    second = train(recipe, "--data", str(other), "--name", "m")
    third = train(recipe, "--data", str(mine), "--name", "m")

    assert (first.exit_code, second.exit_code, third.exit_code) == (0, 2, 0), third.output
    assert "other data: expected sha256:" in second.stderr
    assert "begin anew with --out FOLDER" in second.stderr
    assert len(second.stderr.splitlines()) == 1


def test_a_refused_run_is_left_as_it_was(tmp_path: Path) -> None:
    recipe, mine = plain("features", tmp_path), write_vectors(tmp_path / "mine.npz")
    train(recipe, "--data", str(mine), "--name", "m", "--stop-after", "3")
    before = {f.name: f.read_bytes() for f in (tmp_path / "runs/m").iterdir() if f.is_file()}

    train(recipe, "--data", str(other_labels(tmp_path / "o.npz", mine)), "--name", "m")

    after = {f.name: f.read_bytes() for f in (tmp_path / "runs/m").iterdir() if f.is_file()}
    assert after == before


def test_a_copy_of_the_data_elsewhere_is_the_same_data(tmp_path: Path) -> None:
    recipe = plain("pictures", tmp_path)
    mine = draw_glyphs(tmp_path / "glyphs", signs="ABEHKMRS", pictures=12)
    train(recipe, "--data", str(mine), "--name", "m", "--stop-after", "2")
    moved = shutil.copytree(mine, tmp_path / "moved")

    same = train(recipe, "--data", str(moved), "--name", "m", "--stop-after", "1")
    [*_, file] = sorted(moved.rglob("*.png"))
    file.unlink()
    fewer = train(recipe, "--data", str(moved), "--name", "m")

    assert (same.exit_code, fewer.exit_code) == (0, 2)
    assert "goes on after outer step 2" in same.stdout
    assert "other data" in fewer.stderr


def test_a_series_run_does_not_go_on_with_the_same_curves_in_other_units(tmp_path: Path) -> None:
    recipe = plain("series", tmp_path)
    train(recipe, "--data", str(write_curves(tmp_path / "a.npz")), "--stop-after", "3")

    other = train(recipe, "--data", str(write_curves(tmp_path / "b.npz", factor=2)))

    assert other.exit_code == 2
    assert "other data" in other.stderr


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("seed = 3", "seed = 4", "seed"),
        ("shot = 5", "shot = 4", "stages.0.shot, validation.shot"),
        ("hidden = [20, 20]", "hidden = [20, 30]", "network_config.hidden.1"),
        ("every = 8", "every = 9", "validation.every"),
    ],
)
def test_a_run_does_not_go_on_with_a_changed_recipe(
    tmp_path: Path, old: str, new: str, where: str
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(RECIPE)
    train(str(file), "--stop-after", "3")
    file.write_text(RECIPE.replace(old, new))

    changed = train(str(file))

    assert changed.exit_code == 2
    assert f"another recipe: it differs in {where};" in changed.stderr
    assert "begin anew with --out FOLDER" in changed.stderr


def test_a_state_from_before_data_were_kept_goes_on(tmp_path: Path) -> None:
    recipe, mine = plain("features", tmp_path), write_vectors(tmp_path / "mine.npz")
    order = TrainingOrder(recipe=recipe, folder=tmp_path / "run", data=mine, stop_after=3)
    run_training(order, progress=Progress(), say=print)
    state = tmp_path / "run" / "state.safetensors"
    data = state.read_bytes()
    length = int.from_bytes(data[:8], "little")
    about = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["state"])
    assert about.pop("data").startswith("sha256:")
    save_file(load_file(state), state, metadata={"state": json.dumps(about)})

    said: list[str] = []
    run_training(replace(order, stop_after=1), progress=Progress(), say=said.append)

    assert "goes on after outer step 3 of 16" in said


@pytest.mark.parametrize(
    ("arguments", "folder"),
    [
        (("paper/sinusoid",), "runs/paper/sinusoid"),
        (("sinusoid",), "runs/sinusoid"),
        (("paper/sinusoid", "--name", "mine"), "runs/mine"),
        (("paper/sinusoid", "--out", "here"), "here"),
    ],
)
def test_a_shipped_recipe_runs_where_reproducing_it_does(
    tmp_path: Path, arguments: tuple[str, ...], folder: str
) -> None:
    train(*arguments, "--stop-after", "1")

    assert [f.parent for f in tmp_path.rglob("state.safetensors")] == [tmp_path / folder]


def vectors_told(file: Path, names: list[str], *, seed: int = 0, split: tuple[str, ...]) -> Path:
    """Two classes of each place in ``split``; a class's vectors are drawn by its name and seed."""
    x = np.concatenate([_drawn(name, seed) for name in names])
    told = [split[place // 2] for place in range(len(names))]
    np.savez(file, x=x, y=np.repeat(names, 12), split=np.repeat(told, 12))
    return file


def _drawn(name: str, seed: int) -> np.ndarray:
    draw = np.random.default_rng([seed, *name.encode()])
    return (draw.normal(size=8) + 0.5 * draw.normal(size=(12, 8))).astype(np.float32)


NAMES = ["oak", "elm", "fir", "yew", "ash", "box", "may", "bay"]


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A checkpoint that was tested on oak and elm, and trained and chosen on the others."""
    data = vectors_told(tmp_path / "mine.npz", NAMES, split=SPLIT)
    run = train(plain("features", tmp_path), "--data", str(data), "--name", "m")
    assert run.exit_code == 0, run.output
    return tmp_path / "runs/m/m.safetensors"


def test_its_own_data_hold_classes_that_it_never_saw(tmp_path: Path, trained: Path) -> None:
    measured = evaluate(str(trained), "--data", str(tmp_path / "mine.npz"))

    assert measured.exit_code == 0, measured.output
    assert "trained on" not in measured.stdout


@pytest.mark.parametrize(
    ("names", "seed", "seen"),
    [
        (["fir", "ash", *NAMES[:2], "a", "b", "c", "d"], 0, ["ash", "fir"]),
        (["elm", "ash", "fir", "yew", "a", "b", "c", "d"], 0, ["ash"]),
        (["elm", "oak", "fir", "yew", "a", "b", "c", "d"], 0, []),
        (["new", "ash", "fir", "yew", "a", "b", "c", "d"], 5, ["ash"]),
    ],
)
def test_other_data_are_said_to_hold_what_it_saw(
    tmp_path: Path, trained: Path, names: list[str], seed: int, seen: list[str]
) -> None:
    data = vectors_told(tmp_path / "other.npz", names, seed=seed, split=SPLIT)

    said = evaluate(str(trained), "--data", str(data))
    written = evaluate(str(trained), "--data", str(data), "--json")

    assert said.exit_code == 0, said.output
    assert json.loads(written.stdout)["trained_on"] == seen
    warning = f"warning: of the measured classes it was trained on {', '.join(seen)};"
    assert (warning in said.stdout) == bool(seen)


def test_a_class_is_known_again_under_another_name_and_in_another_order(
    tmp_path: Path, trained: Path
) -> None:
    x = np.concatenate([_drawn("ash", 0)[::-1], *(_drawn(n, 9) for n in "abcdefg")])
    split = np.repeat(np.repeat(SPLIT, 2), 12)
    np.savez(tmp_path / "other.npz", x=x, y=np.repeat([*"zyxwvuts"], 12), split=split)

    written = evaluate(str(trained), "--data", str(tmp_path / "other.npz"), "--json")

    assert json.loads(written.stdout)["trained_on"] == ["z"]


def test_numbers_are_no_names(tmp_path: Path) -> None:
    recipe = plain("features", tmp_path)
    data = vectors_told(tmp_path / "mine.npz", [*"01234567"], split=SPLIT)
    train(recipe, "--data", str(data), "--name", "m")
    split = ("train", "train", "validation", "test")
    other = vectors_told(tmp_path / "other.npz", [*"01234567"], seed=7, split=split)

    written = evaluate("runs/m/m.safetensors", "--data", str(other), "--json")

    assert json.loads(written.stdout)["trained_on"] == []


def test_other_rows_are_filled_with_what_it_was_trained_with(tmp_path: Path) -> None:
    """Its own score of rows with holes is that of the same rows, filled by hand with its means."""
    mine, other = tmp_path / "mine.npz", tmp_path / "other.npz"
    given = dict(np.load(vectors_told(mine, NAMES, split=SPLIT)))
    holes = np.random.default_rng(3).random(given["x"].shape) < 0.2
    np.savez(mine, **given | {"x": np.where(holes, np.nan, given["x"])})
    run = train(plain("features", tmp_path), "--data", str(mine), "--name", "m")
    assert run.exit_code == 0, run.output
    file = "runs/m/m.safetensors"
    means = load_checkpoint(Path(file).read_bytes()).preprocessing["missing"]  # type: ignore[index]
    fresh = dict(np.load(vectors_told(other, [*"abcdefgh"], seed=2, split=SPLIT)))
    scores = []
    for x in (np.where(holes, np.nan, fresh["x"] * 9), np.where(holes, means, fresh["x"] * 9)):
        np.savez(other, **fresh | {"x": x.astype(np.float32)})
        scores.append(json.loads(evaluate(file, "--data", str(other), "--json").stdout)["mean"])

    assert scores[0] == scores[1]


def test_what_it_started_from_was_trained_on_too(tmp_path: Path, trained: Path) -> None:
    recipe = Path(plain("features", tmp_path))
    recipe.write_text(f'start = "{trained}"\n{recipe.read_text()}')
    fresh = vectors_told(tmp_path / "fresh.npz", [*"abcdefgh"], split=SPLIT)
    again = train(str(recipe), "--data", str(fresh), "--name", "again")
    assert again.exit_code == 0, again.output
    data = vectors_told(tmp_path / "other.npz", ["ash", "c", *"ijklmn"], split=SPLIT)

    written = evaluate("runs/again/again.safetensors", "--data", str(data), "--json")

    assert json.loads(written.stdout)["trained_on"] == ["ash", "c"]


def test_curves_are_known_again_by_their_points(tmp_path: Path) -> None:
    mine = dict(np.load(write_curves(tmp_path / "mine.npz")))
    split = np.repeat(["train", "validation", "test"], [30, 5, 5])
    np.savez(tmp_path / "mine.npz", **mine, split=split)
    made = train(plain("series", tmp_path), "--data", str(tmp_path / "mine.npz"), "--name", "m")
    assert made.exit_code == 0, made.output
    np.savez(
        tmp_path / "moved.npz", **{k: np.roll(a, 3, axis=0) for k, a in mine.items()}, split=split
    )

    own = evaluate("runs/m/m.safetensors", "--data", "mine.npz", "--json")
    moved = evaluate("runs/m/m.safetensors", "--data", "moved.npz", "--json")

    assert json.loads(own.stdout)["trained_on"] == []
    assert json.loads(moved.stdout)["trained_on"] == ["35", "36", "37"]


def test_a_file_that_does_not_say_what_it_saw_is_said_not_to(tmp_path: Path, trained: Path) -> None:
    checkpoint = load_checkpoint(trained.read_bytes())
    data = {k: v for k, v in checkpoint.provenance["data"].items() if k != "trained_classes"}
    old = replace(checkpoint, provenance=checkpoint.provenance | {"data": data})
    trained.write_bytes(dump_checkpoint(old))
    other = vectors_told(tmp_path / "other.npz", NAMES, seed=3, split=SPLIT)

    own = evaluate(str(trained), "--data", "mine.npz")
    unknown = evaluate(str(trained), "--data", str(other))

    assert "warning: the file does not say" not in own.stdout
    assert "warning: the file does not say whether it was trained on any" in unknown.stdout
