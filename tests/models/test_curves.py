"""The shipped ``curves`` and the devices of the benchmarks, each beside its rivals."""

import numpy as np
import pytest
import torch

from benchmarks.curves import CHECKPOINTS, FAMILIES, Curves, CurvesPrior, curves
from benchmarks.devices import bayesian_quadratic, devices, on_powers, trained
from benchmarks.regression import Way, bayesian, measure, plain
from models.files.checkpoint import dump_checkpoint, load_checkpoint
from models.heads.bayesian import posterior, predictive
from models.measuring.baselines import nearest_neighbour
from models.measuring.rivals import cubic_ridge
from models.meta_training.recipes import read_recipe
from models.normalisation import forward

SHIPPED = (CHECKPOINTS / "curves.safetensors").read_bytes()


def told(x: torch.Tensor, y: torch.Tensor, asked: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The shipped checkpoint's means and deviations at ``asked``, each (Q,)."""
    loaded = load_checkpoint(SHIPPED)
    network, theta = loaded.learner.network, loaded.meta.theta
    params = posterior(theta, forward(network, {}, x)[0], y)
    mean, deviation = predictive(params, forward(network, {}, asked)[0])
    return mean[:, 0].numpy(), deviation[:, 0].numpy()


def test_the_shipped_file_is_what_its_prior_makes() -> None:
    again, loaded = (
        load_checkpoint(dump_checkpoint(curves(CurvesPrior()))),
        load_checkpoint(SHIPPED),
    )

    assert again.provenance == loaded.provenance
    assert again.inner_loop == loaded.inner_loop
    for name, tensor in loaded.meta.theta.items():
        torch.testing.assert_close(again.meta.theta[name], tensor, rtol=1e-3, atol=1e-3)


def test_curves_are_those_of_the_gaussian_process_whose_kernel_they_were_made_of() -> None:
    """Within half of the noise in the mean: what degree 9 and float32 leave of the process."""
    x = torch.tensor([[-1.5], [-0.8], [0.1], [0.4], [1.2]])
    y = torch.sin(2 * x)
    asked = torch.linspace(-1.5, 1.5, 31)[:, None]

    means, deviations = told(x, y, asked)

    prior, at, to = CurvesPrior(), x[:, 0].double(), asked[:, 0].double()
    gram = prior.kernel(at, at) + prior.noise**2 * torch.eye(5)
    across = prior.kernel(to, at)
    expected = (across @ torch.linalg.solve(gram, y.double()))[:, 0]
    left = prior.kernel(to, to) - across @ torch.linalg.solve(gram, across.T)
    assert np.allclose(means, expected.numpy(), atol=prior.noise / 2)
    of_process = (left.diagonal() + prior.noise**2).sqrt().numpy()
    assert np.allclose(deviations, of_process, rtol=0.15)


@pytest.mark.parametrize("half", [1.0, 2.0])
@pytest.mark.parametrize("family", FAMILIES)
def test_with_five_points_no_rival_is_ahead(family: str, half: float) -> None:
    loaded = load_checkpoint(SHIPPED)
    ways: dict[str, Way] = {
        "curves": bayesian(loaded.learner, loaded.meta.theta),
        "cubic ridge": plain(cubic_ridge),
        "nearest point": plain(nearest_neighbour),
    }

    found = measure(ways, Curves(family=family, half=half), shot=5, episodes=500)

    mine = found.pop("curves")
    assert all(mine.error < rival.error + mine.ci95 for rival in found.values())
    assert mine.coverage is not None
    assert mine.coverage > 0.85


@pytest.mark.parametrize("size", [1e-6, 1e3, 1e6, 1e30])
def test_points_of_any_size_have_an_answer(size: float) -> None:
    x = torch.tensor([[-1.0], [0.3], [0.3], [1.0]]) * size

    means, deviations = told(x, x.clamp(-1e6, 1e6), torch.cat([x, torch.zeros(1, 1)]))

    assert np.isfinite(means).all()
    assert np.isfinite(deviations).all()


@pytest.mark.parametrize(("unit", "shift"), [(1.0, 0.0), (1000.0, 7000.0)])
def test_devices_are_learned_as_well_as_by_who_is_told_their_form(
    unit: float, shift: float
) -> None:
    known = devices(0, unit=unit, shift=shift)
    mine, _ = trained(on_powers(read_recipe("series")), known)
    ways = {"rival": bayesian_quadratic(known), "mine": mine}

    for shot in (3, 5, 10):
        found = measure(ways, known, shot=shot, episodes=600)

        assert found["mine"].error < found["rival"].error + found["rival"].ci95
        assert 0.85 <= (found["mine"].coverage or 0) <= 0.95
