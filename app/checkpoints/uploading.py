"""A checkpoint that a caller sends: looked at as a stranger's, then a version of its name.

What the header alone shows is refused here; the rest is for a process of its own
(``models/files/inspecting.py``), one at a time.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy.exc import IntegrityError

from app.backends import Backends
from app.checkpoints.registry import check_name, check_normalisation, check_trained
from app.db.checkpoints import add_version, find_version
from app.db.connections import reading, writing
from app.db.idempotency import find_replay, keep_key
from app.errors import FieldError, ServiceError, other_content, refusal
from app.kinds import find_kind
from app.store import StoreFull, StoreUnavailable
from app.values.checkpoint import CheckpointRow
from models.files.faults import InvalidCheckpoint
from models.files.header import MOST_HEADER_BYTES, header_bytes, read_header

INSPECTED_WITHIN_S: Final = 120
_turn: Final = threading.Semaphore(1)  # each takes a core and some hundred MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file that arrived whole; digest: SHA-256, hex; key: the idempotency key, None without."""

    tenant_id: str
    path: Path
    size: int
    digest: str
    key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """is_new: whether these bytes were no version of the tenant's before; replayed: whether the
    idempotency key led to it.
    """

    row: CheckpointRow
    is_new: bool
    replayed: bool = False


def take_checkpoint(backends: Backends, upload: Upload) -> Taken:
    """The version that the file is from now on, or was before.

    Raises ServiceError: invalid-checkpoint, tensor-mismatch, non-finite-weights, validation for its
    name, store-full, idempotency-mismatch.
    """
    replayed = _replayed(backends, upload)
    if replayed is not None:
        return replayed
    _check_header(upload)
    found = _inspect(upload.path)
    description: dict[str, Any] = found["checkpoint"]
    _check_description(description)
    _keep(backends, upload)
    try:
        return _add(backends, upload, description, found["parameters"])
    except IntegrityError:
        first = _replayed(backends, upload)
        if first is None:
            raise
        return first


def _check_header(upload: Upload) -> None:
    try:
        with upload.path.open("rb") as file:
            start = file.read(8)
            rest = file.read(header_bytes(start) - len(start))
        read_header(start + rest, upload.size)
    except InvalidCheckpoint as fault:
        raise ServiceError("invalid-checkpoint", str(fault)) from fault


def _inspect(path: Path) -> Mapping[str, Any]:
    """What the other process found. Raises ServiceError for what it refuses, or cannot stand."""
    command = [sys.executable, "-m", "models.files.inspecting", str(path)]
    with _turn:
        try:
            done = subprocess.run(
                command, capture_output=True, check=False, timeout=INSPECTED_WITHIN_S
            )
        except subprocess.TimeoutExpired:
            detail = f"expected a network that runs within {INSPECTED_WITHIN_S} s, got another"
            raise ServiceError("invalid-checkpoint", detail) from None
    if done.returncode != 0:
        detail = "expected a network that can be built and run, got one that cannot"
        raise ServiceError("invalid-checkpoint", detail)
    found: dict[str, Any] = json.loads(done.stdout)
    if "refused" in found:
        errors = [FieldError(pointer=f"/{n}", detail=detail) for n, detail in found["places"]]
        raise ServiceError(found["refused"], found["detail"], errors=errors)
    return found


def _check_description(description: Mapping[str, Any]) -> None:
    try:
        check_name(description["name"])
    except ValueError as error:
        raise refusal("validation", "/name", str(error)) from error
    try:
        check_normalisation(description["inner_loop"]["normalisation"])
        find_kind(description["task"])
        check_trained(description["provenance"], description["evaluation"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ServiceError("invalid-checkpoint", str(error)) from error


def _keep(backends: Backends, upload: Upload) -> None:
    try:
        backends.store.put(upload.tenant_id, upload.path.read_bytes())
    except StoreFull as error:
        raise ServiceError("store-full", "there is no room for the checkpoint") from error
    except StoreUnavailable as error:
        raise ServiceError("unavailable", "the store does not answer", retry_after_s=1) from error


def _add(backends: Backends, upload: Upload, description: dict[str, Any], parameters: int) -> Taken:
    with writing(backends.engine) as connection:
        row, is_new = add_version(
            connection, upload.tenant_id, upload.digest, upload.size, parameters, description
        )
        if upload.key is not None:
            keep_key(
                connection,
                upload.tenant_id,
                key=upload.key,
                fingerprint=upload.digest,
                made={"checkpoint": row.ref.name, "version": row.ref.version},
            )
    return Taken(row=row, is_new=is_new)


def _replayed(backends: Backends, upload: Upload) -> Taken | None:
    if upload.key is None:
        return None
    with reading(backends.engine) as connection:
        kept = find_replay(connection, upload.tenant_id, upload.key)
        made = (kept.made or {}) if kept else {}
        named = (made["checkpoint"], made["version"]) if "checkpoint" in made else None
        row = find_version(connection, upload.tenant_id, *named) if named else None
    if kept is None:
        return None
    if kept.fingerprint != upload.digest or named is None:
        raise other_content()
    return None if row is None else Taken(row=row, is_new=True, replayed=True)


__all__ = ["MOST_HEADER_BYTES", "Taken", "Upload", "take_checkpoint"]
