"""How a support set will be adapted to: what a request says, and what the checkpoint's recipe says
where it says nothing.
"""

import numpy as np

from app.errors import refusal
from app.kinds import find_kind
from app.values.description import Description
from app.values.ways import ALL, AUTO, CLOSED_FORMS, HEAD, Way


def choose_way(
    adapts: str | None, steps: int | None, step_size: float | None, about: Description
) -> Way:
    """The way of an adaptation; what is None is the recipe's.

    Who names steps or their size, but no kind of adaptation, asks for gradient steps: where the
    recipe has a closed form, on everything that moves. Raises ServiceError for what the checkpoint
    does not offer, and for what a kind of adaptation has no use for.
    """
    loop = about.inner_loop
    chosen = loop.adapts if adapts is None else _offered(adapts, about)
    if adapts is None and chosen in CLOSED_FORMS and (steps or step_size is not None):
        chosen = ALL if ALL in find_kind(about.task).ways(about) else HEAD
    _check_step_size(chosen, step_size, about)
    if chosen in CLOSED_FORMS:
        _check_steps(chosen, steps, most=1)
        return Way(adapts=chosen, steps=1 if steps is None else steps, step_size=None)
    if chosen == AUTO:
        _check_steps(chosen, steps, most=-1)
    if chosen == HEAD and loop.adapts != HEAD:
        steps = loop.head_steps if steps is None else steps
        return Way(adapts=chosen, steps=steps, step_size=step_size)
    size = None if loop.learned and chosen != HEAD else step_size or float(loop.step_size) or None
    return Way(adapts=chosen, steps=loop.steps if steps is None else steps, step_size=size)


def price_in_words(adapts: str, *, assess: bool) -> str:
    """How ``example_steps`` counts an adaptation."""
    if assess or adapts == AUTO:
        return "examples × examples × (steps + 5)"
    return "examples × (steps + 1)" if adapts not in (HEAD, *CLOSED_FORMS) else "examples × passes"


def _offered(adapts: str, about: Description) -> str:
    ways = find_kind(about.task).ways(about)
    if adapts not in ways:
        detail = f"expected one of {', '.join(ways)} for this checkpoint, got {adapts}"
        raise refusal("validation", "/adapts", detail)
    return adapts


def _check_step_size(adapts: str, step_size: float | None, about: Description) -> None:
    if step_size is None:
        return
    if not 0 < np.float32(step_size) < np.inf:
        raise refusal("validation", "/step_size", "expected a positive number finite in float32")
    if adapts in CLOSED_FORMS or adapts == AUTO:
        detail = f"{adapts} takes no step size; leave step_size out"
        raise refusal("not-adjustable", "/step_size", detail)
    if about.inner_loop.learned and adapts != HEAD:
        detail = "this checkpoint learned its step sizes; leave step_size out"
        raise refusal("not-adjustable", "/step_size", detail)


def _check_steps(adapts: str, steps: int | None, *, most: int) -> None:
    if steps is not None and steps > most:
        few = ", or send 0 for no adaptation" if most == 1 else ""
        detail = f"{adapts} takes no number of steps; leave steps out{few}"
        raise refusal("not-adjustable", "/steps", detail)
