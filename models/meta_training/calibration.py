"""The prior of a normalised network: the statistics of training examples under θ."""

import torch

from models.episodes import EpisodeShape, TaskDistribution
from models.learner import Learner
from models.normalisation import Params, Prior, forward

SEED = 1_000_033
EXAMPLES = 500


def calibrate(
    learner: Learner,
    theta: Params,
    distribution: TaskDistribution,
    shape: EpisodeShape,
    *,
    examples: float,
) -> Prior:
    """The prior that counts as ``examples`` more in every support set.

    Measured on some 500 training examples, drawn as episodes of this shape without what training
    adds; the same θ and data give the same prior.
    """
    generator = torch.Generator().manual_seed(SEED)
    each = shape.all_kinds * (shape.shot + shape.query)
    drawn = distribution.draw("train", -(-EXAMPLES // each), shape, generator)
    x = torch.cat([drawn.support_x.flatten(0, 1), drawn.query_x.flatten(0, 1)])
    device = next(iter(theta.values())).device
    body = {name: t.detach() for name, t in theta.items() if not name.startswith("head.")}
    with torch.no_grad():
        _, statistics = forward(learner.network, body, x[:EXAMPLES].to(device))
    return Prior(statistics=statistics, examples=examples)
