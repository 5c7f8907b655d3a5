"""The kernel head: kernel ridge regression on the classes of a support set, in closed form.

A class of several kinds of thing is no single mean, and a linear boundary may not part it from the
others; a Gaussian kernel on the features, as narrow as the support set is dense, does both. Where
leaving examples out shows that the inputs themselves tell more than the features, as on data that
the body never saw, a kernel on the inputs stands beside. Rasmussen and Williams 2006: eq. 2.25 is
the fit, 5.12 the scores of examples that were left out.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from models.episodes import Examples
from models.heads.layer import BIAS, WEIGHT, linear_scores
from models.normalisation import Params

SUPPORT, COEFFICIENTS = "head.support", "head.coefficients"
CENTRE, SPREAD = "head.centre", "head.spread"
INPUTS, INPUTS_CENTRE, INPUTS_SPREAD = "head.inputs", "head.inputs_centre", "head.inputs_spread"
SHARE: Final = "head.share"

RIDGE: Final = 0.1
# Squared widths, in mean squared distances of the support set. Measured on unions of characters:
# 0.12 to 0.25 are alike, 1.0 loses two points; sentence embeddings want up to 1.0.
WIDTHS: Final = (0.2, 0.5, 1.0)
SHARES: Final = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the inputs' kernel; the first is the usual one
SHARPNESS: Final = 8.0  # of the scores where no example can be left out
LOG_SPREAD: Final = math.log(2)  # of the sharpness, before any example
SHARPNESSES: Final = tuple(2.0**power for power in range(-2, 9))
FARTHEST: Final = 1e6  # spreads; the kernel is 0 long before


@dataclass(frozen=True, slots=True, kw_only=True)
class _Points:
    """Support points about their mean, in units of their spread: (E, S, P), (E, 1, P), (E, 1, 1).

    The spread is the root of the mean squared distance of two points that count.
    """

    points: Tensor
    centre: Tensor
    spread: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """Of one candidate: coefficients (E, S, N); scores of the support set, and of each example when
    it is left out, (E, S, N).
    """

    share: float
    width: float
    coefficients: Tensor
    scores: Tensor
    left_out: Tensor


def fit_kernel(start: Params, features: Tensor, support: Examples, losses: Tensor) -> Params:
    """The kernel heads of E support sets; differentiable in the features.

    start: the heads (E, N, D) and (E, N) before, whose support losses are ``losses`` (E,); features
    (E, S, D). Share and width of the kernels, and how sharp the scores are, are those that predict
    examples best when they are left out; no sharpness is taken that would leave the support loss
    above that of the start. Where there is none the start stays: its part is ``head.weight``, zero
    everywhere else.
    """
    counts = _counts(features, support.mask)
    members = F.one_hot(support["y"], start[BIAS].shape[1]).to(features.dtype) * counts[..., None]
    seen = _points(features, counts)
    given = _points(support.x.flatten(2), counts)
    best = _chosen(seen, given, members, counts)
    sharpness = _sharpness(best, members, counts, losses)  # (E,), 0: none is good enough
    keeps = sharpness == 0
    root = best.width.sqrt()[:, None, None]
    return {
        WEIGHT: torch.where(keeps[:, None, None], start[WEIGHT], 0.0),
        BIAS: torch.where(keeps[:, None], start[BIAS], 0.0),
        COEFFICIENTS: (best.coefficients * sharpness[:, None, None]).mT,
        SUPPORT: seen.points / root,
        CENTRE: seen.centre[:, 0],
        SPREAD: (seen.spread * root)[:, 0, 0],
        INPUTS: given.points / root,
        INPUTS_CENTRE: given.centre[:, 0],
        INPUTS_SPREAD: (given.spread * root)[:, 0, 0],
        SHARE: best.share,
    }


def kernel_scores(params: Params, features: Tensor, x: Tensor) -> Tensor:
    """(B, D) features and their inputs (B, …) -> (B, N); or all with (E,) in front."""
    lead = params[SPREAD].dim()
    scores = features.new_zeros(())
    if COEFFICIENTS in params:
        near = _nearness(params, features, (SUPPORT, CENTRE, SPREAD))
        if INPUTS in params:
            share = params[SHARE][..., None, None]
            of_inputs = _nearness(
                params, x.flatten(lead + 1), (INPUTS, INPUTS_CENTRE, INPUTS_SPREAD)
            )
            near = (1 - share) * near + share * of_inputs
        scores = near @ params[COEFFICIENTS].mT
    if WEIGHT in params:
        scores = scores + linear_scores(params, features)
    return scores


def are_single(support: Examples, outputs: int) -> Tensor:
    """(E,) whether no class has more than one example that counts."""
    members = F.one_hot(support["y"], outputs)
    if support.mask is not None:
        members = members * support.mask[..., None]
    return members.sum(dim=1).amax(dim=1) <= 1


def start_again(params: Params, start: Params, worse: Tensor) -> Params:
    """The same heads, but in the episodes (E,) that are worse the start."""
    chosen = worse[:, None, None]
    return params | {
        WEIGHT: torch.where(chosen, start[WEIGHT], params[WEIGHT]),
        BIAS: torch.where(worse[:, None], start[BIAS], params[BIAS]),
        COEFFICIENTS: torch.where(chosen, 0.0, params[COEFFICIENTS]),
    }


def without_idle_parts(params: Params) -> Params:
    """One episode's kernel head without what has no part in its scores."""
    idle: set[str] = set()
    if not bool(params[COEFFICIENTS].any()):
        idle = {SUPPORT, COEFFICIENTS, CENTRE, SPREAD, INPUTS, INPUTS_CENTRE, INPUTS_SPREAD, SHARE}
    else:
        if not bool(params[WEIGHT].any()):
            idle |= {WEIGHT, BIAS}
        if float(params[SHARE]) == 0:
            idle |= {INPUTS, INPUTS_CENTRE, INPUTS_SPREAD, SHARE}
    return {name: value for name, value in params.items() if name not in idle}


def _counts(features: Tensor, mask: Tensor | None) -> Tensor:
    """(E, S), 1 where an example counts."""
    ones = features.new_ones(features.shape[:2])
    return ones if mask is None else ones * mask


def _points(rows: Tensor, counts: Tensor) -> _Points:
    """rows (E, S, P). Scaled by their largest number first, whose square may be none in float32."""
    number = counts.sum(dim=1)[:, None, None]
    largest = rows.detach().abs().amax(dim=(1, 2), keepdim=True).clamp(min=1e-30)
    small = rows / largest * counts[..., None]
    centre = small.sum(dim=1, keepdim=True) / number
    apart = (small - centre) * counts[..., None]
    # the mean over pairs of two different points is 2 S / (S - 1) times the variance
    around = apart.square().sum(dim=(1, 2), keepdim=True) / number
    pairs = 2 * number / (number - 1).clamp(min=1)
    spread = (around * pairs).clamp(min=1e-12).sqrt()
    return _Points(points=apart / spread, centre=centre * largest, spread=spread * largest)


def _chosen(seen: _Points, given: _Points, members: Tensor, counts: Tensor) -> "_Best":
    """Each episode's best candidate: the usual one, unless another predicts examples that are left
    out better, and by more than the standard error of the difference.
    """
    near = [_squared_distances(points.points, points.points) for points in (seen, given)]
    alike = seen.points.shape == given.points.shape and torch.equal(seen.points, given.points)
    shares = SHARES[:1] if alike else SHARES  # a body that changes nothing
    fits = [_fit(near, share, width, members, counts) for share in shares for width in WIDTHS]
    losses = torch.stack([_each_loss(fit.left_out * SHARPNESS, members) for fit in fits])
    asked = _with_others(members, counts)  # (E, S)
    number = asked.sum(dim=1)
    gain = (losses[0] - losses) * asked  # (C, E, S)
    mean = gain.sum(dim=2) / number.clamp(min=1)
    squares = ((gain - mean[..., None]) * asked).square().sum(dim=2)
    error = (squares / (number * (number - 1)).clamp(min=1)).sqrt()
    clear = (mean > error) & (number > 1)
    index = torch.where(clear, mean, torch.where(mean == 0, mean, -math.inf)).argmax(dim=0)
    return _Best.of(fits, index.detach())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Best:
    """The chosen fits of E episodes: tensors as in ``_Fit``, share and width (E,)."""

    share: Tensor
    width: Tensor
    coefficients: Tensor
    scores: Tensor
    left_out: Tensor

    @staticmethod
    def of(fits: list[_Fit], index: Tensor) -> "_Best":
        """Of each episode the fit with its index (E,)."""

        def pick(each: list[Tensor]) -> Tensor:
            return torch.stack(each)[index, torch.arange(len(index), device=index.device)]

        def numbers(each: list[float]) -> Tensor:
            return torch.tensor(each, device=index.device)[index]

        return _Best(
            share=numbers([fit.share for fit in fits]),
            width=numbers([fit.width for fit in fits]),
            coefficients=pick([fit.coefficients for fit in fits]),
            scores=pick([fit.scores for fit in fits]),
            left_out=pick([fit.left_out for fit in fits]),
        )


def _fit(near: list[Tensor], share: float, width: float, members: Tensor, counts: Tensor) -> _Fit:
    """Ridge regression on one-hot targets about their mean 1 / N, and its left-out scores.

    near: (E, S, S) squared distances of features and of inputs; share: of the latter's kernel.
    """
    kernel = torch.exp(-near[0] / width)
    if share:
        kernel = (1 - share) * kernel + share * torch.exp(-near[1] / width)
    kernel = kernel * counts[:, :, None] * counts[:, None]
    targets = (members - 1 / members.shape[2]) * counts[..., None]
    ridge = RIDGE * torch.eye(kernel.shape[1], dtype=kernel.dtype, device=kernel.device)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(kernel + ridge))
    coefficients = inverse @ targets
    left_out = targets - coefficients / inverse.diagonal(dim1=1, dim2=2)[..., None]
    return _Fit(
        share=share,
        width=width,
        coefficients=coefficients,
        scores=kernel @ coefficients,
        left_out=left_out,
    )


def _sharpness(best: _Best, members: Tensor, counts: Tensor, most: Tensor) -> Tensor:
    """(E,) what the scores are multiplied by: likeliest by the left-out examples and a log-normal
    prior, among those whose support loss is at most ``most`` (E,); 0 where there is none.
    """
    asked = _with_others(members, counts)
    left, own = [], []
    for sharpness in SHARPNESSES:
        each = _each_loss(best.left_out.detach() * sharpness, members) * asked
        usual = math.log(sharpness / SHARPNESS) ** 2 / (2 * LOG_SPREAD**2)
        left.append(each.sum(dim=1) + usual)  # a prior, or a few right examples are sure of all
        support = _each_loss(best.scores.detach() * sharpness, members) * counts
        own.append(support.sum(dim=1) / counts.sum(dim=1))
    fits = torch.stack(own) <= most.detach()
    found = torch.where(fits, torch.stack(left), math.inf)
    values = torch.tensor(SHARPNESSES, device=found.device)[found.argmin(dim=0)]
    return torch.where(fits.any(dim=0), values, 0.0)


def _each_loss(scores: Tensor, members: Tensor) -> Tensor:
    """(E, S) cross-entropy."""
    return -(scores.log_softmax(dim=-1) * members).sum(dim=-1)


def _with_others(members: Tensor, counts: Tensor) -> Tensor:
    """(E, S), 1 for the examples whose class has others."""
    sizes = (members * members.sum(dim=1, keepdim=True)).sum(dim=2)
    return counts * (sizes > 1)


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """(…, A, P) and (…, B, P) -> (…, A, B), at least 0."""
    squares = a.square().sum(dim=-1)[..., None] + b.square().sum(dim=-1)[..., None, :]
    return (squares - 2 * a @ b.mT).clamp(min=0)


def _nearness(params: Params, rows: Tensor, names: tuple[str, str, str]) -> Tensor:
    """(…, B, P) rows -> (…, B, S) their kernel with the support points."""
    points, centre, spread = (params[name] for name in names)
    scaled = (rows - centre.unsqueeze(-2)) / spread[..., None, None]
    return torch.exp(-_squared_distances(scaled.clamp(-FARTHEST, FARTHEST), points))
