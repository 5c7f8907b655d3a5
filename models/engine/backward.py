"""An inner step's gradient without a graph: layers in a row, each with its gradient written out.

For one adaptation of five drawings torch's graph costs as much as its arithmetic; a row of layers
needs none. What it gives is held to the graph's gradient by tests.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from models.engine.gradients import convolve_rows, convolved_back, normalise_, normalised_back
from models.engine.layers import Layers, from_pictures, to_pictures
from models.engine.patches import shape_of
from models.normalisation import Params

Back = Callable[[Tensor], Tensor | None]


@dataclass(slots=True, kw_only=True)
class RecordedLayers(Layers):
    """The same layers, each of which leaves behind how its gradient goes back.

    gradients: of the parameters that were asked for, once ``rewind`` has run.
    """

    gradients: Params = field(default_factory=dict)
    backs: list[Back] = field(default_factory=list)

    def rewind(self, gradient: Tensor | None) -> None:
        """From the gradient in what the last layer gave to those in all parameters.

        A layer's memory is given back with its gradient: what leads back holds the layers
        themselves, and would otherwise wait for the collector of cycles.
        """
        while self.backs:
            assert gradient is not None, "only the first layer may have no gradient in its input"
            gradient = self.backs.pop()(gradient)

    def conv_norm_relu(self, x: Tensor, path: str, *, stride: int, eps: float) -> Tensor:
        weight, bias = self.params[f"{path}.conv.weight"], self.params[f"{path}.norm.bias"]
        shift = self.params.get(f"{path}.conv.bias")
        rows, conv = convolve_rows(x, weight, stride)
        if shift is not None:
            rows = rows + shift[:, None]
        mean, var, norm = normalise_(rows, bias, self._known(f"{path}.norm", x), eps)
        to_x = bool(self.backs)

        def back(gradient: Tensor) -> Tensor | None:
            for_rows, for_bias = normalised_back(norm, gradient.flatten(1, 3))
            self.gradients[f"{path}.norm.bias"] = for_bias
            if shift is not None:
                self.gradients[f"{path}.conv.bias"] = for_rows.sum(1)
            for_x, for_weight = convolved_back(conv, for_rows, to_x=to_x)
            self.gradients[f"{path}.conv.weight"] = for_weight
            return for_x

        self.backs.append(back)
        z = norm.activation.view(shape_of(x, weight, stride))
        return self._use(f"{path}.norm", mean, var, z)

    def norm_relu(self, x: Tensor, path: str, *, eps: float) -> Tensor:
        known, shape = self._known(path, x), x.shape
        rows = x.flatten(1, -2).clone()
        mean, var, norm = normalise_(rows, self.params[f"{path}.bias"], known, eps)

        def back(gradient: Tensor) -> Tensor:
            for_rows, self.gradients[f"{path}.bias"] = normalised_back(
                norm, gradient.flatten(1, -2)
            )
            return for_rows.view(shape)

        self.backs.append(back)
        return self._use(path, mean, var, norm.activation).view(shape)

    def linear(self, x: Tensor, path: str) -> Tensor:
        weight, has_bias = self.params[f"{path}.weight"], f"{path}.bias" in self.params
        to_x = bool(self.backs)

        def back(gradient: Tensor) -> Tensor | None:
            self.gradients[f"{path}.weight"] = torch.bmm(gradient.mT, x)
            if has_bias:
                self.gradients[f"{path}.bias"] = gradient.sum(1)
            return torch.bmm(gradient, weight) if to_x else None

        self.backs.append(back)
        return Layers.linear(self, x, path)

    def times(self, x: Tensor, path: str) -> Tensor:
        number = self.params[path][:, None, None]

        def back(gradient: Tensor) -> Tensor:
            self.gradients[path] = (gradient * x).sum(dim=(1, 2))
            return gradient * number

        self.backs.append(back)
        return Layers.times(self, x, path)

    def relu(self, x: Tensor) -> Tensor:
        activation = x.relu()
        self.backs.append(
            lambda gradient: torch.ops.aten.threshold_backward(gradient, activation, 0)
        )
        return activation

    def halve(self, x: Tensor) -> Tensor:
        pictures = to_pictures(x)
        halved, places = F.max_pool2d(pictures, 2, return_indices=True)

        def back(gradient: Tensor) -> Tensor:
            for_pictures = torch.ops.aten.max_pool2d_with_indices_backward(
                to_pictures(gradient), pictures, [2, 2], [2, 2], [0, 0], [1, 1], False, places
            )
            return from_pictures(for_pictures, x)

        self.backs.append(back)
        return from_pictures(halved, x)

    def mean(self, x: Tensor) -> Tensor:
        shape, places = x.shape, x.shape[2] * x.shape[3]
        self.backs.append(
            lambda gradient: (gradient / places)[:, :, None, None].expand(shape).contiguous()
        )
        return Layers.mean(self, x)

    def flatten(self, x: Tensor) -> Tensor:
        e, b, height, width, channels = x.shape
        self.backs.append(
            lambda gradient: (
                gradient.view(e, b, channels, height, width).permute(0, 1, 3, 4, 2).contiguous()
            )
        )
        return Layers.flatten(self, x)
