"""The network of powers: features for a head that knows curves, with nothing to learn."""

import numpy as np
import pytest
import torch

from models.engine.layers import forward_stacked, is_stackable
from models.networks import build_network, shape_of_features
from models.normalisation import forward

CONFIG = {"inputs": 2, "degree": 3, "centre": [1.0, -2.0], "scale": [2.0, 0.5]}


def test_features_are_the_powers_of_standardised_inputs_by_degree() -> None:
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(1))
    z = (x.numpy() - np.array([1.0, -2.0])) / np.array([2.0, 0.5])

    features, statistics = forward(build_network("polynomial", CONFIG), {}, x)

    assert np.allclose(features.numpy(), np.hstack([z, z**2, z**3]), rtol=1e-5)
    assert statistics == {}


def test_stacked_episodes_have_the_features_that_they_have_alone() -> None:
    network = build_network("polynomial", CONFIG)
    x = torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(1))

    together, _ = forward_stacked(network, {}, x)

    assert is_stackable(network)
    assert torch.equal(together, torch.stack([forward(network, {}, each)[0] for each in x]))


def test_without_a_centre_and_a_scale_inputs_are_taken_as_they_are() -> None:
    network = build_network("polynomial", {"inputs": 1, "degree": 4})

    features, _ = forward(network, {}, torch.tensor([[2.0]]))

    assert features.tolist() == [[2.0, 4.0, 8.0, 16.0]]
    assert shape_of_features(network, (1,)) == (4, {})


def test_features_of_inputs_from_far_away_are_finite() -> None:
    network = build_network("polynomial", {"inputs": 1, "degree": 5})

    features, _ = forward(network, {}, torch.tensor([[1e30], [-1e30]]))

    assert bool(features.isfinite().all())


@pytest.mark.parametrize("wrong", [{"degree": 0}, {"centre": [1.0]}, {"scale": [1.0, 1.0, 1.0]}])
def test_configurations_that_are_none_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected a degree of at least 1 and 2 numbers"):
        build_network("polynomial", CONFIG | wrong)
