"""Checkpoints as the service knows them: names, versions, and the shipped ones put where workers
find them.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from app.db.aliases import aliases_of, find_alias
from app.db.checkpoints import (
    LISTED,
    Part,
    Place,
    add_version,
    find_version,
    list_versions,
    list_widths,
)
from app.db.connections import reading, writing
from app.db.tenants import ensure_tenant
from app.errors import ServiceError, refusal
from app.store import BlobStore
from app.values.checkpoint import CheckpointRow
from app.values.tenants import DEFAULT, SHARED, refuse_reserved

NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
REFERENCE = re.compile(rf"({NAME})(?::([1-9][0-9]{{0,17}})|@({NAME}))?")

LAST_VERSION = 2**31 - 1  # what the column holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """``name``, ``name:3`` or ``name@alias``."""

    name: str
    version: int | None = None
    alias: str | None = None


def parse_reference(text: str, *, pointer: str = "/checkpoint") -> Reference:
    """The reference in a request. Raises ServiceError ``validation`` where it is none."""
    match = REFERENCE.fullmatch(text)
    if match is None:
        raise refusal("validation", pointer, "expected name, name:3 or name@alias")
    name, version, alias = match.groups()
    return Reference(name=name, version=int(version) if version else None, alias=alias)


def check_name(name: str) -> None:
    """Raises ValueError where a request could not name a checkpoint of this name."""
    if not re.fullmatch(NAME, name):
        raise ValueError(
            f"the name {name!r}: expected 1 to 64 of a-z, 0-9, '.', '_' and '-', the first a "
            "letter or a digit"
        )


def find_checkpoint(engine: Engine, tenant_id: str, reference: Reference) -> CheckpointRow:
    """The version that a tenant means. Raises ServiceError ``not-found``."""
    name, version, found = reference.name, reference.version, None
    with reading(engine) as connection:
        if reference.alias is not None:
            version = find_alias(connection, tenant_id, name, reference.alias)
        if (version or 1) <= LAST_VERSION and (version or not reference.alias):
            found = find_version(connection, tenant_id, name, version)
    if found is None:
        raise ServiceError("not-found", "there is no such checkpoint")
    return found


def with_aliases(
    engine: Engine, tenant_id: str, rows: Sequence[CheckpointRow]
) -> list[CheckpointRow]:
    """The versions with the tenant's own aliases of each."""
    with reading(engine) as connection:
        known = aliases_of(connection, tenant_id, sorted({row.ref.name for row in rows}))
    found = ((row, known.get((row.ref.name, row.ref.version), ())) for row in rows)
    return [replace(row, aliases=tuple(aliases)) for row, aliases in found]


def find_servable(engine: Engine, tenant_id: str, reference: Reference) -> CheckpointRow:
    """The same, to adapt from or to predict with.

    Raises ServiceError ``invalid-checkpoint`` where it could only be installed before that was
    refused.
    """
    found = find_checkpoint(engine, tenant_id, reference)
    try:
        check_normalisation(found.description.inner_loop.normalisation)
    except ValueError as error:
        raise refusal("invalid-checkpoint", "/checkpoint", str(error)) from error
    return found


def check_normalisation(normalisation: str) -> None:
    """Raises ValueError where queries would be normalised together, so that they see each other."""
    if normalisation != "support":
        raise ValueError(
            f"expected normalisation = 'support', got {normalisation!r}: where a network"
            " normalises, a prediction would depend on the other inputs of its request; train it"
            " with 'support'"
        )


def list_checkpoints(
    engine: Engine, tenant_id: str, *, after: Place | None = None, limit: int = LISTED
) -> Part:
    """So many of the versions that a tenant can use, from the beginning or after a place."""
    with reading(engine) as connection:
        return list_versions(connection, tenant_id, after=after, limit=limit)


def every_checkpoint(engine: Engine, tenant_id: str) -> Iterator[CheckpointRow]:
    """Every version that a tenant can use, read in parts."""
    part = list_checkpoints(engine, tenant_id)
    yield from part.rows
    while part.end is not None:
        part = list_checkpoints(engine, tenant_id, after=part.end)
        yield from part.rows


def ways_by_name(engine: Engine, tenant_id: str) -> dict[str, int]:
    """The most classes by name of a classifier, of the first thousand names."""
    from app.kinds import most_classes  # a command that needs no NumPy loads none

    with reading(engine) as connection:
        widths = list_widths(connection, tenant_id)
    ways = {width.name: most_classes(width.task, width.max_way) for width in widths}
    return {name: most for name, most in ways.items() if most is not None}


def committed_folder() -> Path:
    """Where the shipped checkpoints lie, and below them those that only back a published number."""
    import models

    return Path(models.__file__).parent / "checkpoints"


def shipped_files() -> list[Path]:
    """The checkpoint files that come with the product."""
    return sorted(committed_folder().glob("*.safetensors"))


def install_shipped(engine: Engine, store: BlobStore) -> None:
    """Puts the shipped checkpoints into the store and their rows into the database, once each."""
    with writing(engine) as connection:
        ensure_tenant(connection, DEFAULT)
    _install(engine, store, SHARED, (path.read_bytes() for path in shipped_files()))


def install(
    engine: Engine, store: BlobStore, tenant_id: str, files: Iterable[bytes]
) -> list[CheckpointRow]:
    """Makes checkpoint files versions of their names: blob before row.

    Raises models.files.checkpoint.InvalidCheckpoint where a file is none, ValueError where its name
    or its kind of task is none, its training did not end well, its queries would see each other or
    the tenant is reserved.
    """
    refuse_reserved(tenant_id)
    return _install(engine, store, tenant_id, files)


def check_trained(provenance: Mapping[str, Any], evaluation: Sequence[Mapping[str, Any]]) -> None:
    """Raises ValueError where a training has outer steps left, or its score is no number."""
    done, planned = (provenance.get(key) for key in ("iterations", "planned"))
    if done is not None and planned is not None and done < planned:
        raise ValueError(
            f"its training is at outer step {done} of {planned}: go on with the command that began "
            "it, and add the file that it ends with"
        )
    if not all(math.isfinite(one.get("mean", 0.0)) for one in evaluation):
        raise ValueError(
            "its training failed, its score is not finite: train it anew with other data, or a "
            "lower learning_rate"
        )


def _install(
    engine: Engine, store: BlobStore, tenant_id: str, files: Iterable[bytes]
) -> list[CheckpointRow]:
    from app.kinds import find_kind
    from models.files.checkpoint import describe_checkpoint, load_checkpoint

    installed = []
    for data in files:
        checkpoint = load_checkpoint(data)
        check_name(checkpoint.name)
        check_normalisation(checkpoint.inner_loop.normalisation)
        find_kind(checkpoint.learner.task)
        check_trained(checkpoint.provenance, checkpoint.evaluation)
        digest = store.put(tenant_id, data)
        parameters = sum(tensor.numel() for tensor in checkpoint.meta.theta.values())
        with writing(engine) as connection:
            row, _ = add_version(
                connection,
                tenant_id,
                digest,
                len(data),
                parameters,
                describe_checkpoint(checkpoint),
            )
        installed.append(row)
    return installed
