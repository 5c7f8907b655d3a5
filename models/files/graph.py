"""The adapted model as an ONNX graph that needs nothing of ours: the preprocessed tensor in, what a
prediction says out.

The heads are written once more here, in operations that every runtime has: of one episode, with
distances between all pairs at once and the normal distribution by its error function. A test holds
them to what ``models/heads`` gives.
"""

import io
import json
import math
import warnings
from typing import Any, Final

import torch
from torch import Tensor, nn

from models.files.about import About
from models.heads.bayesian import COVARIANCE, NOISE
from models.heads.deviations import LOG_STD
from models.heads.kernel import (
    CENTRE,
    COEFFICIENTS,
    INPUTS,
    INPUTS_CENTRE,
    INPUTS_SPREAD,
    SHARE,
    SPREAD,
    SUPPORT,
)
from models.heads.layer import BIAS, WEIGHT
from models.heads.novelty import FAINTEST, FARTHEST, KNOWN, POWER, SEEN, UNLIKE
from models.networks import build_network
from models.normalisation import Params, forward

OPSET: Final = 17  # of 2022: what runtimes on devices have by now
INPUT: Final = "input"


class Graph(nn.Module):
    """One adapted model as a function of one batch (B, …), a tuple of what it says of each input:
    probabilities (B, N) and, where the head knows its inputs, novelty (B,); or values (B, N) and,
    where the head is Bayesian, standard deviations (B, N); or of a policy means and deviations.
    """

    def __init__(self, about: About, named: Params) -> None:
        super().__init__()
        config = dict(about.network)
        self.network = build_network(config.pop("name"), config).requires_grad_(False)
        for name, parameter in self.network.named_parameters():
            parameter.copy_(named[name])
        self.is_classifier = about.task == "classification"
        self.named = named

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        statistics = {
            name.removeprefix("statistics."): value
            for name, value in self.named.items()
            if name.startswith("statistics.")
        }
        features, _ = forward(self.network, None, x, statistics)
        if COVARIANCE in self.named:
            return self._bayesian(features)
        if LOG_STD in self.named:
            means = self._linear(features).float()
            return means, self.named[LOG_STD].exp().expand_as(means)
        scores = self._kernel(features, x) if SPREAD in self.named else self._linear(features)
        if not self.is_classifier:
            return (scores,)
        if KNOWN not in self.named:
            return (scores.softmax(dim=-1),)
        scaled, deviations = self._told(scores, features)
        novelty = 0.5 * (1 + torch.erf(deviations.float() / math.sqrt(2)))
        return scaled.float().softmax(dim=-1), novelty

    def names(self) -> list[str]:
        """What the outputs are called, in their order."""
        if COVARIANCE in self.named:
            return ["value", "standard_deviation"]
        if LOG_STD in self.named:
            return ["mean", "std"]
        if not self.is_classifier:
            return ["value"]
        return ["probabilities", "novelty"] if KNOWN in self.named else ["probabilities"]

    def _linear(self, features: Tensor) -> Tensor:
        weight, bias = self.named[WEIGHT].double(), self.named[BIAS].double()
        return features.double() @ weight.mT + bias

    def _kernel(self, features: Tensor, x: Tensor) -> Tensor:
        scores = torch.zeros(())
        if COEFFICIENTS in self.named:
            near = self._nearness(features, (SUPPORT, CENTRE, SPREAD))
            if INPUTS in self.named:
                of_inputs = self._nearness(x.flatten(1), (INPUTS, INPUTS_CENTRE, INPUTS_SPREAD))
                near = (1 - self.named[SHARE]) * near + self.named[SHARE] * of_inputs
            scores = near @ self.named[COEFFICIENTS].mT
        return scores + self._linear(features) if WEIGHT in self.named else scores

    def _nearness(self, rows: Tensor, names: tuple[str, str, str]) -> Tensor:
        points, centre, spread = (self.named[name] for name in names)
        scaled = ((rows - centre) / spread).clamp(-FARTHEST, FARTHEST)
        return torch.exp(-_squares(scaled, points))

    def _bayesian(self, features: Tensor) -> tuple[Tensor, Tensor]:
        ones = torch.ones_like(features[..., :1])
        inputs = torch.cat([features, ones], dim=-1).double()
        weight, bias = self.named[WEIGHT].double(), self.named[BIAS].double()
        mean = inputs[..., :-1] @ weight.mT + bias
        spread = ((inputs @ self.named[COVARIANCE].double()) * inputs).sum(dim=-1).clamp(min=0)
        variance = self.named[NOISE].double() * (1 + spread[..., None])
        return mean.float(), variance.sqrt().float()

    def _told(self, scores: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """``models.heads.novelty.with_novelty``, in float64."""
        known = self.named[KNOWN].double()
        temperature, middle, below, above = known[0], known[1], known[2], known[3]
        distances = self._distances(features).double()
        beyond = distances.clamp(min=1e-30).log() - middle
        deviations = beyond / torch.where(beyond < 0, below, above)
        scores = scores.double()
        scaled = (scores - scores.amax(dim=-1, keepdim=True)) / temperature
        trust = (POWER * (UNLIKE * above - beyond)).clamp(FAINTEST, 0).exp()
        others = max(int(scores.shape[-1]) - 1, 1)
        gap = -scaled.sum(dim=-1) / others
        # Of full trust the share is 1: log(1 - trust) would be minus infinity there.
        most = (1 + others * trust).log() - (1 - trust).clamp(min=1e-300).log()
        shares = (most / gap.clamp(min=1e-30)).clamp(max=1)
        return scaled * torch.where(trust < 1, shares, 1.0)[..., None], deviations

    def _distances(self, features: Tensor) -> Tensor:
        if SEEN in self.named:
            return _nearest(features, self.named[SEEN])
        scaled = (features - self.named[CENTRE]) / self.named[SPREAD]
        return _nearest(scaled, self.named[SUPPORT]) * self.named[SPREAD]


def dump_graph(about: About, named: Params, metadata: dict[str, Any]) -> bytes:
    """The bytes of the graph of one adapted model; metadata: JSON values by name, kept in it.

    about, named: of its file, the body in it. The batch is the first axis of every input and
    output, of any size.
    """
    import onnx

    graph = Graph(about, named).eval()
    example = torch.zeros(2, *about.input_shape)
    names, kept = graph.names(), io.BytesIO()
    file: Any = kept  # which torch takes as well as a path, but says not
    axes = {name: {0: "batch"} for name in (INPUT, *names)}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # it tells of its successor, which cannot trace this network
        torch.onnx.export(
            graph,
            (example,),
            file,
            input_names=[INPUT],
            output_names=names,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_model_from_string(kept.getvalue())
    model.producer_name, model.doc_string = "fewstep", "An adapted model, ready to predict."
    onnx.helper.set_model_props(model, {k: _text(value) for k, value in metadata.items()})
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _text(value: Any) -> str:
    return (
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    )


def _squares(a: Tensor, b: Tensor) -> Tensor:
    """(A, P) and (B, P) -> (A, B) squared distances, in float64, so that near ones keep digits."""
    apart = a.double()[:, None] - b.double()[None]
    return apart.square().sum(dim=-1).float()


def _nearest(rows: Tensor, points: Tensor) -> Tensor:
    return _squares(rows.clamp(-FARTHEST, FARTHEST), points).amin(dim=-1).sqrt()
