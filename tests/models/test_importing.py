"""The network of Finn et al. 2017, imported: the same numbers as by TensorFlow's conventions."""

import random
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from typer.testing import CliRunner

from app.checkpoints.registry import committed_folder
from app.cli.main import app
from models.episodes import labelled
from models.files.checkpoint import Checkpoint, load_checkpoint, read_metadata
from models.heads.layer import linear_scores
from models.importing.bundle import load_bundle, read_bundle
from models.importing.faults import CannotImport
from models.importing.finn2017 import LAYOUT, import_finn2017, theta_from
from models.inner_loop import adapt
from models.learner import InnerLoop, predict
from models.normalisation import forward, forward_together
from models.outer_loop import MetaParams
from models.pictures.inputs import input_from_picture
from tests.models import bundles

NAME = "miniimagenet-5way-1shot-finn2017"
SHIPPED = committed_folder() / f"{NAME}.safetensors"
COMMAND = f"fewstep checkpoints import model59000 --name {NAME}"

Array = NDArray[np.float64]


def random_tensors(seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Tensors of the authors' names and shapes, of about their sizes."""
    generator = np.random.default_rng(seed)
    return {name: np.float32(generator.normal(0, 0.25, shape)) for name, shape in LAYOUT.items()}


def pictures(count: int = 5, seed: int = 1) -> NDArray[np.float32]:
    """(count, 3, 84, 84) in [0, 1]: coarse patches with noise, as different as pictures are."""
    generator = np.random.default_rng(seed)
    patches = generator.uniform(size=(count, 3, 7, 7)).repeat(12, axis=2).repeat(12, axis=3)
    return np.float32(np.clip(patches + generator.normal(0, 0.1, size=patches.shape), 0, 1))


def tensorflow_logits(tensors: dict[str, NDArray[np.float32]], x: Array) -> Array:
    """(B, 5) for (B, 84, 84, 3): ``forward_conv`` of cbfinn/maml in float64, channels last."""
    maps = x
    for block, suffix in enumerate(("", "_1", "_2", "_3")):
        kernel = tensors[f"model/conv{block + 1}"].astype(np.float64)
        maps = same_convolution(maps, kernel) + tensors[f"model/Variable{suffix}"]
        mean, var = maps.mean(axis=(0, 1, 2)), maps.var(axis=(0, 1, 2))
        maps = (maps - mean) / np.sqrt(var + 1e-3) + tensors[f"model/{block}/beta"]
        maps = valid_pooling(np.maximum(maps, 0))
    return maps.reshape(len(x), -1) @ tensors["model/w5"].astype(np.float64) + tensors["model/b5"]


def same_convolution(maps: Array, kernel: Array) -> Array:
    """3 x 3, stride 1, one row and column of zeros around: NHWC by HWIO."""
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)))
    height, width = maps.shape[1:3]
    return np.sum(
        [
            padded[:, row : row + height, column : column + width] @ kernel[row, column]
            for row in range(3)
            for column in range(3)
        ],
        axis=0,
    )


def valid_pooling(maps: Array) -> Array:
    """The largest of every whole 2 x 2; an odd row or column at the end is left out."""
    windows = sliding_window_view(maps, (2, 2), axis=(1, 2))[:, ::2, ::2]
    return np.asarray(windows.max(axis=(-2, -1)))


def logits(checkpoint: Checkpoint, x: Tensor) -> Array:
    theta = checkpoint.meta.theta
    body = {name: value for name, value in theta.items() if not name.startswith("head.")}
    features, _ = forward(checkpoint.learner.network, body, x)
    together = forward_together(checkpoint.learner.network, body, x)
    torch.testing.assert_close(features, together, rtol=1e-4, atol=1e-4)
    return np.float64(linear_scores(theta, features).numpy())


@pytest.mark.parametrize("seed", [0, 1])
def test_an_imported_network_gives_the_logits_of_tensorflows_conventions(
    tmp_path: Path, seed: int
) -> None:
    tensors = random_tensors(seed)
    prefix = bundles.write(tmp_path / "model", tensors)
    x = pictures(seed=seed)

    checkpoint = load_checkpoint(import_finn2017(prefix, name=NAME, command=COMMAND))

    expected = tensorflow_logits(tensors, np.float64(x.transpose(0, 2, 3, 1)))
    np.testing.assert_allclose(logits(checkpoint, torch.from_numpy(x)), expected, atol=1e-4)


def test_the_shipped_network_gives_the_logits_of_tensorflows_conventions(
    maml_bundle: Path,
) -> None:
    x = pictures()

    found = logits(load_checkpoint(SHIPPED.read_bytes()), torch.from_numpy(x))

    tensors = load_bundle(maml_bundle).tensors
    expected = tensorflow_logits(tensors, np.float64(x.transpose(0, 2, 3, 1)))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.ptp(expected, axis=0).min() > 0.1  # the pictures do make a difference


def test_the_shipped_file_is_what_the_importer_makes(maml_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "made.safetensors"

    for file in (maml_bundle, maml_bundle.with_name(f"{maml_bundle.name}.index")):
        arguments = ["checkpoints", "import", str(file), "--name", NAME, "--out", str(out)]
        result = CliRunner().invoke(app, arguments)

        assert result.exit_code == 0, result.output
        assert out.read_bytes() == SHIPPED.read_bytes()
        out.unlink()


def test_the_shipped_file_holds_the_authors_first_values() -> None:
    theta = load_checkpoint(SHIPPED.read_bytes()).meta.theta

    # Parsed byte by byte, before the importer was written; a first value stays the first.
    known = {
        "blocks.0.norm.bias": 0.422688,
        "blocks.0.conv.bias": -0.370336,
        "blocks.0.conv.weight": -0.124604,
        "head.weight": 0.020014,
        "head.bias": 0.059803,
    }
    first = {name: round(theta[name].flatten()[0].item(), 6) for name in known}
    assert first == known
    assert sum(tensor.numel() for tensor in theta.values()) == 32_773


def test_the_shipped_file_says_how_it_is_served_and_where_it_comes_from() -> None:
    checkpoint = load_checkpoint(SHIPPED.read_bytes())

    loop, made = checkpoint.inner_loop, checkpoint.provenance
    assert (loop.steps, loop.step_size, loop.adapts) == (10, 0.05, "weights")
    assert (checkpoint.max_way, checkpoint.input_shape) == (5, (3, 84, 84))
    assert made["command"] == COMMAND
    assert made["source"]["licence"] == "MIT"
    assert [*made["files"]] == ["model59000.data-00000-of-00001", "model59000.index"]


def test_the_shipped_file_differs_from_any_import_in_its_weights_alone(tmp_path: Path) -> None:
    prefix = bundles.write(tmp_path / "model59000", random_tensors())

    other = read_metadata(import_finn2017(prefix, name=NAME, command=COMMAND))

    shipped = read_metadata(SHIPPED.read_bytes())
    where = ("source", "files")
    for metadata in (other, shipped):
        metadata["provenance"] = {k: v for k, v in metadata["provenance"].items() if k not in where}
    assert other == shipped


def test_weights_of_someone_else_are_not_given_as_the_authors(tmp_path: Path) -> None:
    prefix = bundles.write(tmp_path / "model59000", random_tensors())

    checkpoint = load_checkpoint(import_finn2017(prefix, name="mine", command="-"))

    assert checkpoint.provenance["source"] is None


def test_inner_steps_move_everything_but_beta_and_lower_the_support_loss() -> None:
    checkpoint = load_checkpoint(SHIPPED.read_bytes())
    theta, x, y = checkpoint.meta.theta, torch.from_numpy(pictures()), torch.arange(5)

    adapted = adapt(checkpoint.learner, theta, labelled(x, y), checkpoint.recipe, outputs=5)

    still = {name for name, value in adapted.params.items() if torch.equal(value, theta[name])}
    assert still >= {f"blocks.{block}.norm.bias" for block in range(4)}
    assert not any(name.endswith("weight") for name in still)
    assert adapted.losses[-1] < 0.1 * adapted.losses[0]


def test_one_step_is_the_authors_step_on_the_sum_over_classes() -> None:
    checkpoint = load_checkpoint(SHIPPED.read_bytes())
    theta, x, y = checkpoint.meta.theta, torch.from_numpy(pictures()), torch.arange(5)
    bias = theta["head.bias"]

    one = InnerLoop(steps=1, step_size=checkpoint.recipe.step_size, adapts="weights")
    adapted = adapt(checkpoint.learner, theta, labelled(x, y), one, outputs=5)

    scores = torch.from_numpy(logits(checkpoint, x))
    gradient = (scores.softmax(1) - torch.eye(5)).sum(0)  # of the summed cross-entropy
    torch.testing.assert_close(
        adapted.params["head.bias"].double(), bias - 0.01 * gradient, rtol=0, atol=1e-6
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model/w5": None}, r"missing \['model/w5'\]"),
        ({"model/conv5": (3, 3, 32, 32)}, r"unknown \['model/conv5'\]"),
        ({"model/w5": (32, 5)}, r"model/w5: expected \(800, 5\), got \(32, 5\)"),
        ({"model/conv1": (3, 3, 1, 32)}, r"model/conv1: expected \(3, 3, 3, 32\)"),
    ],
)
def test_another_network_is_refused(change: dict[str, tuple[int, ...] | None], said: str) -> None:
    tensors = random_tensors()
    for name, shape in change.items():
        tensors.pop(name, None)
        if shape is not None:
            tensors[name] = np.zeros(shape, np.float32)

    with pytest.raises(CannotImport, match=said):
        theta_from(tensors)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    tensors = random_tensors()
    tensors["model/b5"][2] = np.nan
    prefix = bundles.write(tmp_path / "model", tensors)

    with pytest.raises(ValueError, match="finite"):
        import_finn2017(prefix, name=NAME, command=COMMAND)


@pytest.mark.slow
def test_even_for_characters_it_is_a_better_start_than_a_random_network(omniglot_dir: Path) -> None:
    shipped = load_checkpoint(SHIPPED.read_bytes())
    blank = replace(shipped, meta=MetaParams(theta=random_start(shipped)))
    chosen = random.Random(0)

    with ZipFile(omniglot_dir / "images_evaluation.zip") as drawings:
        episodes = [characters(drawings, chosen) for _ in range(20)]
    scores = np.array(
        [[accuracy(one, episode) for one in (shipped, blank)] for episode in episodes]
    )

    ahead = scores[:, 0] - scores[:, 1]
    assert ahead.mean() > 1.96 * ahead.std(ddof=1) / len(ahead) ** 0.5


def random_start(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """θ of the same network as the authors began: Xavier's weights, biases of zero."""
    generator = torch.Generator().manual_seed(0)
    theta = {name: torch.zeros_like(tensor) for name, tensor in checkpoint.meta.theta.items()}
    for tensor in theta.values():
        if tensor.dim() > 1:
            torch.nn.init.xavier_uniform_(tensor, generator=generator)
    return theta


def characters(drawings: ZipFile, chosen: random.Random) -> tuple[Tensor, Tensor]:
    """One drawing of each of five characters, and three more of each: (5, …) and (15, …)."""
    folders: dict[str, list[str]] = {}
    for name in sorted(name for name in drawings.namelist() if name.endswith(".png")):
        folders.setdefault(name.rpartition("/")[0], []).append(name)
    names = [chosen.sample(folders[folder], 4) for folder in chosen.sample(sorted(folders), 5)]
    spec = load_checkpoint(SHIPPED.read_bytes()).preprocessing

    def inputs(names: list[str]) -> Tensor:
        pictures = (Image.open(BytesIO(drawings.read(name))) for name in names)
        return torch.stack([torch.from_numpy(input_from_picture(one, spec)) for one in pictures])

    return inputs([four[0] for four in names]), inputs([n for four in names for n in four[1:]])


def accuracy(checkpoint: Checkpoint, episode: tuple[Tensor, Tensor]) -> float:
    """Of the queries after adapting, as served: each by the support set's statistics."""
    support, query = episode
    with torch.no_grad():
        adapted = adapt(
            checkpoint.learner,
            checkpoint.meta.theta,
            labelled(support, torch.arange(5)),
            checkpoint.recipe,
            outputs=5,
        )
        said = predict(checkpoint.learner, adapted, query).argmax(1)
    return (said == torch.arange(5).repeat_interleave(3)).float().mean().item()


PAIRS, DATA = bundles.pairs_of({"a": np.float32([[1, 2], [3, 4]]), "b": np.float32([5])})
INDEX = bundles.table(PAIRS)
WHOLE = read_bundle(INDEX, DATA)


@settings(max_examples=300, deadline=1000)
@given(st.data())
def test_cut_and_flipped_files_are_refused_or_read_as_if_they_were_not(data: st.DataObject) -> None:
    files = []
    for content in (INDEX, DATA):
        spoiled = bytearray(content[: data.draw(st.integers(0, len(content)) | st.none())])
        for at in data.draw(st.lists(st.integers(0, max(len(spoiled) - 1, 0)), max_size=2)):
            spoiled[at : at + 1] = bytes([data.draw(st.integers(0, 255))])
        files.append(bytes(spoiled))

    try:
        found = read_bundle(*files)
    except CannotImport:
        return

    assert {name: value.tolist() for name, value in found.items()} == {
        name: value.tolist() for name, value in WHOLE.items()
    }


def test_an_imported_file_is_not_written_over_another(tmp_path: Path) -> None:
    prefix = bundles.write(tmp_path / "model", random_tensors())
    out = tmp_path / "kept.safetensors"
    out.write_bytes(b"kept")

    arguments = ["checkpoints", "import", str(prefix), "--name", "mine", "--out", str(out)]
    result = CliRunner().invoke(app, arguments)

    assert result.exit_code == 2
    assert "is there already" in result.output
    assert out.read_bytes() == b"kept"
    assert len(result.output.splitlines()) == 1
