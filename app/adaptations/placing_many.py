"""Many orders at once: each is refused alone; blobs are written together, rows in one transaction,
and the workers hear of it once.
"""

from collections.abc import Mapping
from functools import cache, partial

from sqlalchemy.exc import IntegrityError

from app.adaptations.order import AdaptOrder
from app.adaptations.placing import (
    find_replayed,
    finder,
    keep_order,
    place_order,
    prepare,
)
from app.adaptations.room import room_of
from app.backends import Backends
from app.db.adaptations import insert_all_queued
from app.db.connections import writing
from app.errors import ServiceError
from app.observing.phases import traced
from app.store import StoreFull, StoreUnavailable
from app.values.adaptation import Adaptation, NewAdaptation

Orders = Mapping[str, AdaptOrder]  # by the id that each adaptation is to have
Placed = dict[str, Adaptation | ServiceError]


@traced("place")
def place_orders(backends: Backends, orders: Orders) -> Placed:
    """By the same ids the adaptation of every order, or the refusal of one that is wrong.

    An order whose idempotency key led to an adaptation before gives that one as it is now.
    """
    try:
        ready, others = _prepared(backends, orders)
        rows = _inserted(backends, orders, ready)
    except (StoreFull, StoreUnavailable, IntegrityError):
        # each then says for itself what there is no room for, or whose key came first
        return {one: _placed_alone(backends, order, one) for one, order in orders.items()}
    if ready:
        backends.queue.hint(next(iter(ready)))
    return others | rows


def _prepared(backends: Backends, orders: Orders) -> tuple[dict[str, NewAdaptation], Placed]:
    """What is to be inserted, and what else came of the orders. Raises StoreFull and
    StoreUnavailable where the blobs are not there in the end.
    """
    ready: dict[str, NewAdaptation] = {}
    others: Placed = {}
    find_checkpoint, room = finder(backends), cache(partial(room_of, backends))
    with backends.store.together():
        for one, order in orders.items():
            try:
                replayed = find_replayed(backends, order)
                if replayed is None:
                    room(order.tenant_id, order.at_once).check(len(ready) + 1)
                    ready[one] = prepare(backends, order, one, find_checkpoint)
                else:
                    others[one] = replayed
            except ServiceError as error:
                others[one] = error
    return ready, others


def _inserted(backends: Backends, orders: Orders, ready: Mapping[str, NewAdaptation]) -> Placed:
    """The new rows, all or none. Raises IntegrityError where a key is taken meanwhile."""
    try:
        with writing(backends.engine) as connection:
            rows = insert_all_queued(connection, list(ready.values()))
            for one in ready:
                if orders[one].idempotency_key is not None:
                    keep_order(connection, orders[one], one)
    except ServiceError as error:
        return dict.fromkeys(ready, error)
    return {**rows}


def _placed_alone(
    backends: Backends, order: AdaptOrder, adaptation_id: str
) -> Adaptation | ServiceError:
    try:
        return place_order(backends, order, adaptation_id)[0]
    except ServiceError as error:
        return error
