"""How unlike a support set an input is, and scores that tell less the farther it is from all of it.

The distance of an input is that to the nearest support example, between features. Where known
inputs lie is measured on classes that training never saw (``models/measuring/calibrating.py``); a
support set with several examples of a class tells more of it, each left out in turn. Of a network
that nobody measured, the support set tells all there is.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.episodes import Examples
from models.heads.kernel import CENTRE, COEFFICIENTS, SPREAD, SUPPORT, are_single
from models.normalisation import Params

SEEN, KNOWN = "head.seen", "head.known"

UNLIKE: Final = 1.6448536  # deviations above which 5 % of a normal distribution lie
POWER: Final = 4  # how fast scores fade beyond: a 6 % longer distance leaves 0.9 of two classes
FAINTEST: Final = math.log(1e-9)
LEFT_OUT: Final = 25  # so many left-out examples weigh as much as what was measured before
# Of logarithmic distances that nobody measured: 1 to 6 % false alarms on characters, on their
# features and on Gaussians of 16 and of 256 numbers; ten of 0.25 missed every outlier of the last.
SPREAD_EXAMPLES, USUAL_SPREAD = 2, 0.1
SAME: Final = 1e-4  # of a support set's spread: nearer ones are one example given twice
FARTHEST: Final = 1e15  # whose square is a float32 still

_Floats = NDArray[np.float32]
_Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Known inputs of support sets with so many ``shots`` or more, as logarithms of distances.

    middle: their median; below, above: deviations, by the 5 % and the 95 % point; left_out: the
    median of support examples that are left out; temperature: what scores are divided by, by
    the kind of adaptation.
    """

    shots: int
    middle: float
    below: float
    above: float
    left_out: float
    temperature: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What was measured of a network, by shots in rising order; nothing of one that nobody did."""

    buckets: tuple[Bucket, ...] = ()


def known_inputs(
    calibration: Calibration, adapts: str, features: Tensor, support: Examples, outputs: int
) -> Params:
    """What a head keeps of E support sets: ``SEEN``, their features (E, S, D), and ``KNOWN``:
    (E, 4) temperature, middle, below and above of known inputs; above is 0 where nothing tells.
    """
    features = features.detach()
    members = F.one_hot(support["y"], outputs).to(features.dtype)
    if support.mask is not None:
        members = members * support.mask[..., None]
        first = features[torch.arange(len(features)), support.mask.int().argmax(dim=1)]
        features = torch.where(support.mask[..., None], features, first[:, None])
    left_out = left_out_distances(features, members)
    if calibration.buckets:
        shots = members.sum(dim=(1, 2)) / outputs
        shots = torch.where(are_single(support, outputs), 1.0, shots.clamp(min=2))
        known = _measured(calibration, adapts, shots, left_out)
    else:
        known = _by_itself(left_out, members)
    return {SEEN: features, KNOWN: known}


def says_nothing(known: Tensor) -> bool:
    """Whether nothing tells where the inputs of one episode lie; known: (4,)."""
    return not bool(known[3] > 0)


def with_novelty(params: Params, scores: Tensor, features: Tensor) -> Tensor:
    """(B, N) scores of (B, D) features -> (B, N + 1); or all with (E,) in front. No gradient.

    The scores are less their largest, over the temperature, and flatter the farther the input is:
    beyond ``UNLIKE`` no probability is above t + (1 - t) / N, where t = (threshold / distance)^4.
    Their order stays. Behind them stand the deviations of the distance from the middle.
    """
    given = (params[KNOWN], scores, _distances(params, features))
    told = torch.from_numpy(_told(*(tensor.numpy(force=True) for tensor in given)))
    return told if scores.is_cpu else told.to(scores.device)


def _told(known: _Floats, scores: _Floats, distances: _Floats) -> _Floats:
    """The same of known (…, 4) and distances (…, B). In NumPy, which of one input takes a quarter
    of torch's time.
    """
    known = known.astype(np.float64)
    beyond = np.log(np.maximum(distances, 1e-30)) - known[..., 1:2]
    below, above = known[..., 2:3], known[..., 3:4]
    deviations = beyond / np.where(beyond < 0, below, above)
    scaled = (scores - scores.max(axis=-1, keepdims=True)) / known[..., None, 0:1]
    if (deviations > UNLIKE).any():
        trust = np.exp((POWER * (UNLIKE * above - beyond)).clip(FAINTEST, 0))
        scaled *= _flatter(scaled, trust)[..., None]
    told = np.empty((*scores.shape[:-1], scores.shape[-1] + 1), np.float32)
    told[..., :-1], told[..., -1] = scaled, deviations
    return told


def _flatter(told: _Numbers, trust: _Numbers) -> _Numbers:
    """(…, B) what scores (…, B, N) are multiplied by, so that none has more than trust leaves."""
    others = max(told.shape[-1] - 1, 1)
    gap = -told.sum(axis=-1) / others  # the mean one; by Jensen's inequality it bounds the largest
    with np.errstate(divide="ignore"):
        most = np.log1p(others * trust) - np.log1p(-trust)
    shares: _Numbers = np.minimum(most / np.maximum(gap, 1e-30), 1)
    return shares


def without_double_points(head: Params) -> Params:
    """One episode's head without ``SEEN`` where the points of its kernel are the same."""
    if SEEN not in head or COEFFICIENTS not in head or SUPPORT not in head:
        return head
    if not bool(head[COEFFICIENTS].any(dim=0).all()):  # a point of no coefficient does not count
        return head
    return {name: value for name, value in head.items() if name != SEEN}


def _distances(params: Params, features: Tensor) -> Tensor:
    """(B, D) -> (B,) to the nearest support example."""
    if SEEN in params:
        return nearest(features, params[SEEN])
    centre, spread = params[CENTRE].unsqueeze(-2), params[SPREAD]
    scaled = (features - centre) / spread[..., None, None]
    return nearest(scaled, params[SUPPORT]) * spread[..., None]


def nearest(rows: Tensor, points: Tensor) -> Tensor:
    """Pair by pair, so that no row's distance depends on what else is asked for."""
    near = rows.clamp(-FARTHEST, FARTHEST)
    apart = torch.cdist(near, points, compute_mode="donot_use_mm_for_euclid_dist")
    return apart.amin(dim=-1)


def left_out_distances(features: Tensor, members: Tensor) -> Tensor:
    """(E, S) logarithms of each example's distance to the nearest other of its class; NaN where
    there is none that differs.
    """
    apart = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    around = (features - features.mean(dim=1, keepdim=True)).square().sum(dim=2).mean(dim=1).sqrt()
    same = (members @ members.mT > 0) & (apart > SAME * around[:, None, None])
    nearest = apart.masked_fill(~same, math.inf).amin(dim=2)
    return nearest.masked_fill(nearest.isinf(), math.nan).log()


def _measured(calibration: Calibration, adapts: str, shots: Tensor, left_out: Tensor) -> Tensor:
    """(E, 4): what was measured at so many shots (E,), moved as the left-out examples say."""
    rows = [
        [b.temperature.get(adapts, 1.0), b.middle, b.below, b.above, b.left_out, b.shots]
        for b in calibration.buckets
    ]
    table = torch.tensor(rows, device=shots.device)
    index = (shots[:, None] >= table[None, :, 5]).sum(dim=1) - 1
    temperature, middle, below, above, usual, _ = table[index.clamp(min=0)].unbind(1)
    number = (~left_out.isnan()).sum(dim=1)
    share = number / (number + LEFT_OUT)
    moved = share * (left_out.nanmedian(dim=1).values - usual)
    return torch.stack([temperature, middle + moved.nan_to_num(), below, above], dim=1)


def _by_itself(left_out: Tensor, members: Tensor) -> Tensor:
    """(E, 4): what the left-out examples say, where every class has some."""
    there = ~left_out.isnan()
    enough = ((members * there[..., None]).sum(dim=1) > 0).all(dim=1)
    middle = left_out.nanmedian(dim=1).values.nan_to_num()
    squares = (left_out - middle[:, None]).square().nansum(dim=1)
    prior = SPREAD_EXAMPLES * USUAL_SPREAD**2
    spread = ((prior + squares) / (SPREAD_EXAMPLES + there.sum(dim=1))).sqrt()
    return torch.stack(
        [torch.ones_like(spread), middle, spread, torch.where(enough, spread, 0.0)], dim=1
    )
