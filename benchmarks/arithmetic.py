"""How many floating-point operations an adaptation is, and how many a second the machine does.

A multiplication and an addition count as two, positions in the padding count as any other, and
normalisation, activations and the update (under 2 % together) do not count.
"""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import seconds_of

SIDE, KERNEL = 28, 9
SIZE = 2048


def flops_of_adaptation(*, images: int, steps: int, filters: int = 64, way: int = 5) -> int:
    """Of one adaptation of the strided conv4 on 28 x 28 pictures of one channel, to its last loss.

    A step is the forward, the gradient to the weights, which is as many operations, and the
    gradient to the inputs, as many again but for the first layer, whose inputs are pictures. After
    the last step there is one more forward, of φ.
    """
    layers = [*_layers(filters), 2 * filters * way]
    forward = sum(layers)
    step = forward + forward + (forward - layers[0])
    return images * (steps * step + forward)


def counted_flops(network: nn.Module, x: torch.Tensor, y: torch.Tensor, steps: int) -> int:
    """The same as torch's own counter sees it, of plain gradient steps on one support set."""
    parameters = list(network.parameters())
    with FlopCounterMode(display=False) as counter:
        for _ in range(steps):
            torch.autograd.grad(F.cross_entropy(network(x), y), parameters)
        with torch.no_grad():
            network(x)
    return int(counter.get_total_flops())


def sgemm_gflops(device: torch.device, repeats: int = 5) -> float:
    """The best rate of a product of two square float32 matrices of 2048, with torch's threads."""
    a = torch.rand(SIZE, SIZE, device=device)
    seconds_of(lambda: a @ a)
    best = min(seconds_of(lambda: a @ a) for _ in range(repeats))
    return 2 * SIZE**3 / best / 1e9


def _layers(filters: int) -> list[int]:
    """The operations of each convolution's forward for one picture."""
    layers, channels, side = [], 1, SIDE
    for _ in range(4):
        side = (side + 1) // 2
        layers.append(2 * KERNEL * channels * filters * side * side)
        channels = filters
    return layers
