"""What an order gives a checkpoint to adapt to, read and checked: a support set and queries."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.adaptations.choosing import choose_way, price_in_words
from app.adaptations.order import AdaptOrder
from app.adaptations.reading import read_query, read_support
from app.backends import Backends
from app.errors import refusal
from app.inputs.examples import check_lengths
from app.inputs.support_sets import Given, SupportSet, check_amount
from app.settings import Settings
from app.values.adaptation import Adaptation, example_steps, example_weight
from app.values.arrays import Arrays
from app.values.description import Description
from app.values.warnings import Warning
from app.values.ways import Way


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """weight: of one example, of all that is counted; preprocessing: the adaptation's own, where it
    has one; warnings: what the caller is told. round, env_steps and start_digest: of a policy.
    """

    way: Way
    support: SupportSet
    weight: int
    query: Arrays | None = None
    preprocessing: Mapping[str, Any] | None = None
    warnings: tuple[Warning, ...] = ()
    round: int | None = None
    env_steps: int | None = None
    start_digest: str | None = None


def take_examples(
    backends: Backends, order: AdaptOrder, about: Description, base: Adaptation | None
) -> Taken:
    """The support set, behind that of the adaptation it extends, and the queries. Raises
    ServiceError with the place of what does not fit.
    """
    if order.support is None:
        detail = f"expected support for a checkpoint of {about.task}, got rollouts"
        raise refusal("validation", "/rollouts", detail)
    _check_amounts(backends.settings, order.support, order, base)
    way = choose_way(order.adapts, order.steps, order.step_size, about)
    read = read_support(backends, order.support, about, base)
    query, said = (None, ()) if order.query is None else read_query(backends, order.query, read)
    weight = example_weight(read.about.input.shape)
    work = weight * example_steps(
        examples=len(read.support),
        adapts=way.adapts,
        steps=way.steps,
        assess=order.assess,
        recipe_steps=about.inner_loop.steps,
    )
    _check_work(backends.settings, work, way, weight, assess=order.assess)
    return Taken(
        way=way,
        support=read.support,
        weight=weight,
        query=query,
        preprocessing=read.preprocessing,
        warnings=(*read.warnings, *said),
    )


def _check_amounts(
    settings: Settings, support: Given, order: AdaptOrder, base: Adaptation | None
) -> None:
    query = order.query
    check_lengths(support.inputs, support.targets or (), "/support")
    total = len(support.inputs) + (base.support_examples if base else 0)
    check_amount(total, settings.max_support_examples, support.inputs_at)
    if query is not None:
        check_amount(len(query.inputs), settings.max_query_examples, query.inputs_at)
    if query is not None and query.targets is not None:
        check_lengths(query.inputs, query.targets, "/query")
    if order.steps is not None and order.steps > settings.max_steps:
        raise refusal("validation", "/steps", f"expected 0 to {settings.max_steps} steps, got more")


def _check_work(settings: Settings, work: int, way: Way, weight: int, *, assess: bool) -> None:
    if work > settings.max_example_steps:
        how = price_in_words(way.adapts, assess=assess)
        how += f" × {weight} for the size of an input" if weight > 1 else ""
        detail = f"expected {how} up to {settings.max_example_steps}, got {work}"
        raise refusal("budget-exceeded", "/steps", detail)
