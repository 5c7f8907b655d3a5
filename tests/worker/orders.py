"""Orders for the worker's tests, placed as the API places them, and looks at what became of
them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text

from app.adaptations.finding import find_adaptation
from app.adaptations.order import AdaptOrder
from app.adaptations.placing import place_order
from app.inputs.support_sets import Given
from app.values.adaptation import Adaptation, new_id
from worker.bench import Bench

SHAPE = (1, 28, 28)


def sine_points(seed: int, count: int = 5) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """x (count, 1) and y (count, 1) float32 of a sine wave with a phase and height of its own."""
    random = np.random.default_rng(seed)
    height, phase = random.uniform(0.5, 4), random.uniform(0, np.pi)
    x = random.uniform(-5, 5, (count, 1))
    return x.astype(np.float32), (height * np.sin(x - phase)).astype(np.float32)


def drawings(seed: int, count: int = 5) -> NDArray[np.float32]:
    """(count, 1, 28, 28) float32 in [0, 1]: one thick line each, every one another way."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:28, 0:28]
    angles = (np.arange(count) + random.uniform(0, 0.5, count)) * np.pi / count
    distance = [abs((rows - 14) * np.cos(a) + (columns - 14) * np.sin(a)) for a in angles]
    return (np.stack(distance) < 2.0).astype(np.float32)[:, None]


def order_of(
    support_inputs: Any = None, support_targets: Any = None, query: Any = None, **changes: Any
) -> AdaptOrder:
    """An order for five points of a sine wave, but for the changes; query: inputs and targets."""
    x, y = sine_points(1)
    inputs = x.tolist() if support_inputs is None else support_inputs
    targets = y.tolist() if support_targets is None else support_targets
    values: dict[str, Any] = {
        "tenant_id": "default",
        "checkpoint": "sinusoid",
        "extends": None,
        "support": given(inputs, targets, "/support"),
        "query": query and given(*query, "/query"),
    }
    return AdaptOrder(**values | changes)


def given(inputs: Any, targets: Any, pointer: str) -> Given:
    """Examples as a request would have them there."""
    places = {"inputs_at": f"{pointer}/inputs", "targets_at": f"{pointer}/targets"}
    return Given(inputs=inputs, targets=targets, **places)


def place(bench: Bench, **changes: Any) -> str:
    """The id of a newly queued adaptation."""
    return place_order(bench.backends, order_of(**changes), new_id())[0].id


def look(bench: Bench, adaptation_id: str) -> Adaptation:
    """How the adaptation stands."""
    return find_adaptation(bench.backends, "default", adaptation_id)


def kinds(bench: Bench, adaptation_id: str) -> list[str]:
    """The kinds of an adaptation's events, in order."""
    query = "SELECT kind FROM events WHERE adaptation_id = :id ORDER BY number"
    with bench.backends.engine.begin() as connection:
        return list(connection.execute(text(query), {"id": adaptation_id}).scalars())
