"""The bodies of requests, from what a caller hands over."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fewstep_client.inputs import read_folder, to_example, to_examples, to_targets

Json = dict[str, Any]


def adapt_body(
    checkpoint: str | None,
    inputs: Any = None,
    targets: Any = None,
    *,
    query: tuple[Any, Any] | Any = None,
    extends: str | None = None,
    continues: str | None = None,
    rollouts: Sequence[Json] | None = None,
    **options: Any,
) -> Json:
    """The body of ``POST /adapt``: inputs a folder of one for each class, or examples and targets;
    or rollouts of a policy.

    query: inputs, or inputs and targets as a pair. Options that are None are left to the service.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if rollouts is not None:
        origin = {"checkpoint": checkpoint} if continues is None else {"continues": continues}
        return {"rollouts": list(rollouts), **origin, **given}
    if isinstance(inputs, str | Path) and targets is None:
        examples, names = read_folder(inputs)
    elif targets is None:
        raise TypeError("expected a folder of pictures, or examples and their targets")
    else:
        examples, names = to_examples(inputs), to_targets(targets)
    body: Json = {"support": {"inputs": examples, "targets": names}}
    body |= {"checkpoint": checkpoint} if extends is None else {"extends": extends}
    if query is not None:
        body["query"] = query_of(query)
    return body | given


def query_of(query: Any) -> Json:
    """A query set: inputs alone, or a pair of inputs and targets."""
    if isinstance(query, tuple) and len(query) == 2:
        return {"inputs": to_examples(query[0]), "targets": to_targets(query[1])}
    return {"inputs": to_examples(query)}


def predict_body(
    origin: Mapping[str, str], inputs: Any, targets: Any = None, **options: Any
) -> Json:
    """The body of ``POST /predict``."""
    body: Json = {**origin, "inputs": to_examples(inputs)}
    if targets is not None:
        body["targets"] = to_targets(targets)
    return body | {name: value for name, value in options.items() if value is not None}


def one(example: Any) -> list[Any]:
    """A batch of one example."""
    return [to_example(example)]
