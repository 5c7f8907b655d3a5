"""The figure of the head alone compares like with like, and says what it left out."""

import pytest
import torch

from benchmarks import check, contest, heads
from benchmarks.peers import Peer
from benchmarks.peers.network import PlainConv4, plain_network
from benchmarks.timing import ratios
from models.normalisation import Params

TIMES = {
    (heads.ALL, 1): [10.0, 12.0],
    (heads.HEAD, 1): [1.0, 1.0],
    (heads.KERNEL, 1): [2.0, 2.0],
    (heads.PLAIN, 1): [3.0, 3.0],
}


def sgd_on_the_head(network: PlainConv4, x: torch.Tensor, y: torch.Tensor) -> Params:
    """ANIL by torch's own optimiser, which is given the head alone."""
    steps = torch.optim.SGD(network.head.parameters(), lr=contest.STEP_SIZE)
    for _ in range(contest.STEPS):
        steps.zero_grad()
        torch.nn.functional.cross_entropy(network(x), y).backward()
        steps.step()
    return {name: value.detach() for name, value in network.named_parameters()}


def test_the_plain_anil_is_sgd_that_is_given_the_head_alone() -> None:
    exact = contest.in_float64(contest.shared_checkpoint())
    theta = exact.meta.theta
    episodes = contest.draw_episodes(2, shot=1, query=1)
    x, y = episodes.support_x.double(), episodes.support_y

    phis = heads.anils(theta, [])[heads.PLAIN](x, y)

    for e, phi in enumerate(phis):
        expected = sgd_on_the_head(plain_network(theta), x[e], y[e])
        for name, value in expected.items():
            assert torch.allclose(phi[name], value, rtol=1e-10, atol=1e-12), name
        assert not torch.equal(phi["head.weight"], theta["head.weight"])


def test_an_anil_with_other_heads_is_not_timed() -> None:
    checkpoint = contest.shared_checkpoint()
    lazy = Peer(
        name="lazy",
        adapting=lambda *_: lambda _x, _y: [],
        outer_step=lambda *_: lambda _: None,
        anil=lambda network, steps, size: heads.plain_anil(network, steps - 1, size),
    )

    heads.check_heads(checkpoint, [])
    with pytest.raises(AssertionError, match="lazy ANIL: off by"):
        heads.check_heads(checkpoint, [lazy])


def test_a_ratio_is_how_many_times_as_long_as_the_head_alone() -> None:
    figure = heads.against_all(TIMES)

    assert figure.headline == "11.0 × (5.5 × for the kernel head)"
    assert figure.reached
    assert [row["times_head"] for row in figure.rows] == [11.0, 1.0, 2.0, 3.0]


def test_a_machine_without_learn2learn_says_that_it_was_not_measured() -> None:
    headline = heads.against_anil(TIMES).headline

    assert headline == "3.0 × plain ANIL; learn2learn not measured: make bench installs it"


def test_a_stored_head_weighs_what_everything_does_without_the_body() -> None:
    checkpoint = contest.shared_checkpoint()
    body = [n for n in checkpoint.meta.theta if not n.startswith("head.")]
    values = sum(checkpoint.meta.theta[name].numel() for name in body)

    sizes = heads.stored_bytes(checkpoint)

    in_header = sizes["all"] - sizes["head"] - 4 * values  # names, shapes and offsets of the body
    assert 0 < in_header < 150 * len(body)
    assert sizes["head"] < heads.GOAL_BYTES


def test_a_slowed_head_fails_the_check_beside_adapting_everything() -> None:
    floors = {check.HEAD_ALONE: check.read_floors("AVX2")[check.HEAD_ALONE]}

    (line,) = check.complaints({check.HEAD_ALONE: ratios([3.0], [1.0])}, floors)

    assert line.startswith(f"{check.HEAD_ALONE}: 3.00 over adapting everything; expected")
