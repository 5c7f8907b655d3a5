"""What an order gives a policy to adapt to: rollouts of the very policy that it starts from.

A step up the policy gradient is right for the policy that acted, and for no other, so what acted is
checked by the actions themselves. Torch is imported late.
"""

from typing import TYPE_CHECKING, Final

import numpy as np

from app.adaptations.order import AdaptOrder
from app.adaptations.results import damaged
from app.adaptations.taking import Taken
from app.backends import Backends, read_blob
from app.checkpoints.theta import theta_of
from app.errors import refusal
from app.inputs.rollouts import LOG_PROBS, env_steps_of, read_rollouts, rollout_limits
from app.inputs.support_sets import SupportSet
from app.store import BlobDamaged, BlobMissing
from app.values.adaptation import Adaptation, example_weight
from app.values.arrays import INPUT, Arrays
from app.values.checkpoint import CheckpointRow
from app.values.description import PolicyDescription
from app.values.warnings import Warning, warning
from app.values.ways import ALL, Way

if TYPE_CHECKING:
    from models.normalisation import Params
    from models.policies.on_policy import OnPolicy

FEW_EPISODES: Final = 5
APART: Final = 1e-3  # of a log-probability that was sent
AT: Final = "/rollouts"


def take_rollouts(
    backends: Backends, order: AdaptOrder, checkpoint: CheckpointRow, base: Adaptation | None
) -> Taken:
    """The rollouts as one round of the policy. Raises ServiceError with the place of what does not
    fit, and off-policy where another policy acted.
    """
    about = checkpoint.description
    policy = about.policy
    assert policy is not None
    _check_asked(order)
    if order.rollouts is None:
        detail = "expected rollouts for a policy, got a support set"
        raise refusal("validation", "/support", detail)
    arrays = read_rollouts(order.rollouts, policy, rollout_limits(backends.settings))
    params = _params(backends, checkpoint, base)
    _check_on_policy(checkpoint, params, arrays)
    round_ = 1 if base is None else (base.round or 0) + 1
    size = order.step_size or policy.step_size(round_)
    steps = 1 if order.steps is None else order.steps
    return Taken(
        way=Way(adapts=ALL, steps=steps, step_size=size),
        support=SupportSet(arrays=arrays, classes=None, outputs=policy.action_size),
        weight=example_weight(arrays[INPUT].shape[1:]),
        warnings=tuple(_doubts(arrays, policy)),
        round=round_,
        env_steps=env_steps_of(arrays),
        start_digest=None if base is None else base.phi_digest,
    )


def _check_asked(order: AdaptOrder) -> None:
    """Raises ServiceError for what a policy has no use for."""
    if order.extends is not None:
        detail = "a policy goes on from an adaptation by continues, on new rollouts"
        raise refusal("validation", "/extends", detail)
    if order.query is not None:
        raise refusal("validation", "/query", "expected no queries with rollouts, got some")
    if order.assess:
        raise refusal("validation", "/assess", "expected no assessment of rollouts, got one")
    if order.adapts not in (None, ALL):
        raise refusal("validation", "/adapts", f"expected {ALL} for a policy, got {order.adapts}")
    if order.steps is not None and order.steps > 1:
        detail = (
            "expected one step per batch of rollouts, got more: after it they are another policy's;"
            " collect with the adapted policy, and send those with continues"
        )
        raise refusal("validation", "/steps", detail)


def _params(backends: Backends, checkpoint: CheckpointRow, base: Adaptation | None) -> "Params":
    """Of the policy that the rollouts must be of."""
    if base is None:
        return theta_of(backends, checkpoint.ref)
    from models.files.adapted_file import params_of

    try:
        return params_of(read_blob(backends, base.tenant_id, str(base.phi_digest)))
    except (BlobMissing, BlobDamaged) as error:
        raise damaged(backends, base) from error


def _check_on_policy(checkpoint: CheckpointRow, params: "Params", arrays: Arrays) -> None:
    from models.policies.on_policy import on_policy
    from models.policies.policy import policy_of
    from models.policies.rollouts import rollouts_of

    about = checkpoint.description
    assert about.policy is not None
    policy = policy_of(
        about.network, actions=about.policy.action_size, discrete=about.policy.is_discrete
    )
    stacked = {name: value[None] for name, value in params.items()}
    found = on_policy(
        policy, stacked, rollouts_of({name: array[None] for name, array in arrays.items()})
    )
    if not found.holds:
        raise refusal("off-policy", AT, _off_policy(found))
    if LOG_PROBS in arrays:
        apart = np.abs(arrays[LOG_PROBS] - found.log_probs.numpy())
        steps = np.arange(apart.shape[1]) < arrays["lengths"][:, None]
        most = float(np.nanmax(np.where(steps, apart, np.nan), initial=0.0))
        if most > APART:
            detail = f"expected log_probs within {APART:g} of the policy's own, got {most:.3g} away"
            raise refusal("off-policy", AT, detail)


def _off_policy(found: "OnPolicy") -> str:
    bounds = f"{found.low:.3g} to {found.high:.3g}"
    told = f"expected actions of this very policy, whose mean squared z is {bounds} here"
    if found.score > found.high:
        cause = "another policy acted: rollouts of an adapted one go with continues, of θ without"
    elif found.score < found.low / 10:
        cause = "the policy acted without noise: sample its actions, deterministic false"
    else:
        cause = "actions were cut to their bounds: send sampled_action in place of action"
    return f"{told}, got {found.score:.3g}; {cause}"


def _doubts(arrays: Arrays, policy: PolicyDescription) -> list[Warning]:
    episodes = len(arrays["lengths"])
    said = []
    if episodes < FEW_EPISODES:
        detail = f"{episodes} episodes tell little; {policy.episodes} are what was trained with"
        said.append(warning("few-episodes", AT, detail))
    returns = arrays["rewards"].sum(axis=1)
    if episodes > 1 and (returns == returns[0]).all():
        detail = "every episode returned the same, so that nothing could be learned of them"
        said.append(warning("equal-returns", AT, detail))
    return said


def check_policy_to_continue(base: Adaptation) -> None:
    """Raises ServiceError where an adaptation is no policy's."""
    if base.round is None:
        detail = f"expected an adaptation of a policy, got one of {base.task}; extends adds to it"
        raise refusal("validation", "/continues", detail)
