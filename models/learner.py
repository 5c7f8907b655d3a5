"""What is adapted, by which recipe, what comes of it, and how that predicts."""

from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor, nn

from models.engine.layers import forward_stacked
from models.episodes import Examples
from models.guard import Point
from models.heads.applying import apply_head
from models.heads.layer import Head
from models.heads.novelty import KNOWN, SEEN, Calibration, known_inputs, says_nothing
from models.kinds import Kind, find_kind
from models.normalisation import Params, Prior, Statistics, forward

Normalisation = Literal["support", "batch"]
Adapts = Literal["all", "weights", "head", "kernel", "bayesian"]
CLOSED_FORMS: frozenset[Adapts] = frozenset({"kernel", "bayesian"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """What is adapted: the body, its head, the kind of task, and how queries are normalised.

    task: the kind's name in ``models/kinds.py``. prior: steadies the statistics of small support
    sets, in ``support`` normalisation only. calibration: what an adaptation knows of its inputs;
    None: nothing, and predictions are scores alone.
    """

    network: nn.Module
    head: Head
    task: str
    normalisation: Normalisation = "support"
    prior: Prior | None = None
    calibration: Calibration | None = None

    @property
    def kind(self) -> Kind:
        """The loss, its gradient and the score. Raises ValueError for an unknown task."""
        return find_kind(self.task)


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerLoop:
    """The recipe: gradient steps, one step size or learned ones, what moves, and the order of the
    meta-gradient.

    step_size: a number, or (E,) float32 when episodes differ. step_sizes: for each parameter of φ
    its (steps,) learned sizes (Antoniou et al. 2019), or (steps, …) ones for every element (Li et
    al. 2017, Meta-SGD, with one step); steps beyond them reuse the last. adapts: everything; all
    but the biases of normalisations (as in the code of Finn et al. 2017); the head alone (ANIL,
    Raghu et al. 2020); or a head in closed form, whose one step is the fit. guarded: a step that
    would raise an episode's support loss is not taken, and those after it are shorter
    (``models/guard.py``); steps of the head alone are ``models/heads/steady.py``'s, where a step
    size of 0 stands for the longest that is safe.
    """

    steps: int
    step_size: float | Tensor = 0.0
    step_sizes: Params = field(default_factory=dict)
    first_order: bool = False
    adapts: Adapts = "all"
    guarded: bool = False

    @property
    def on_features(self) -> bool:
        """Whether the features of the support set are all that it asks for, and stay as they
        are.
        """
        return self.adapts in CLOSED_FORMS or (self.adapts == "head" and self.guarded)


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapted:
    """params: φ, body and head; statistics: of the support set at φ; losses: (steps + 1,) float32.

    ``losses`` is the support loss before the first step and after each; step_size: of the last
    step, None where it has none or a learned one. metrics: what is told of a policy, which has no
    losses. Stacked: all lead with (E,).
    """

    params: Params
    statistics: Statistics
    losses: Tensor
    step_size: Tensor | None = None
    metrics: dict[str, Any] | None = None


def features_of(learner: Learner, theta: Params, x: Tensor) -> Tensor:
    """(S, …) examples -> (S, D), their features under θ, normalised by themselves."""
    body = {name: value[None] for name, value in body_of(theta).items()}
    return on_support(learner, body, x[None])[0][0]


def episode_of(adapted: Adapted, episode: int) -> Adapted:
    """One episode out of a stacked adaptation."""

    def pick(tree: Params) -> Params:
        return {name: value[episode] for name, value in tree.items()}

    params = pick(adapted.params)
    if KNOWN in params and says_nothing(params[KNOWN]):
        params = {name: value for name, value in params.items() if name not in (SEEN, KNOWN)}
    return Adapted(
        params=params,
        statistics=pick(adapted.statistics),
        losses=adapted.losses[episode],
        step_size=None if adapted.step_size is None else adapted.step_size[episode],
    )


def known_of(
    learner: Learner, end: Point, support: Examples, recipe: InnerLoop, outputs: int
) -> Params:
    """What the heads of E episodes keep of known inputs; nothing without a calibration."""
    if learner.calibration is None:
        return {}
    features = end.features
    if features is None:
        body = body_of(end.params)
        features, _ = forward_stacked(learner.network, body, support.x, end.statistics)
    return known_inputs(learner.calibration, recipe.adapts, features, support, outputs)


def predict(learner: Learner, adapted: Adapted, x: Tensor) -> Tensor:
    """(B, …) queries -> (B, outputs) scores or values, each from φ and its own input alone; behind
    them what the head knows beside.

    Only in ``batch`` normalisation, the paper's, do the queries of one call see each other.
    """
    statistics = adapted.statistics if learner.normalisation == "support" else None
    features, _ = forward(learner.network, body_of(adapted.params), x, statistics)
    return apply_head(adapted.params, features, x)


def predict_episodes(learner: Learner, params: Params, statistics: Statistics, x: Tensor) -> Tensor:
    """The same for E episodes at once: x (E, B, …) -> (E, B, outputs)."""
    given = statistics if learner.normalisation == "support" else None
    features, _ = forward_stacked(learner.network, body_of(params), x, given)
    return apply_head(params, features, x)


def on_support(learner: Learner, body: Params, x: Tensor) -> tuple[Tensor, Statistics]:
    """(E, S, …) examples -> (E, S, D) and the statistics that normalise them, their own."""
    return forward_stacked(learner.network, body, x, prior=prior_of(learner))


def prior_of(learner: Learner) -> Prior | None:
    return learner.prior if learner.normalisation == "support" else None


def body_of(params: Params) -> Params:
    """θ or φ without its head."""
    return {name: value for name, value in params.items() if not name.startswith("head.")}
