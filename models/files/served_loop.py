"""The inner loop that a checkpoint brings along: what a recipe decides and a file carries."""

from dataclasses import dataclass
from typing import Final, Literal

from models.learner import Adapts, Normalisation

HEAD_STEPS: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedInnerLoop:
    """What the service does by default: gradient steps of one size (or learned ones) and the
    norm.

    granularity: one learned size for each layer and step, or for each element and all steps
    (Meta-SGD). prior_examples: how many examples of the training distribution stand beside every
    support set in its statistics (0: none). head_steps: how many steps the head takes where it is
    adapted alone; where ``adapts`` says so, ``steps`` are those.
    """

    steps: int
    step_size: float
    learned: bool = False
    granularity: Literal["layer", "element"] = "layer"
    normalisation: Normalisation = "support"
    adapts: Adapts = "all"
    prior_examples: float = 0.0
    head_steps: int = HEAD_STEPS
