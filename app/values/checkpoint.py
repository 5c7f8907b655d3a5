"""A checkpoint's version as everything inside the application sees it."""

from dataclasses import dataclass

from app.values.description import Description


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRef:
    """One version of a checkpoint and whose blobs hold its θ."""

    tenant_id: str
    name: str
    version: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRow:
    """One version; description: what its file says; bytes: of the file; parameters: numbers in
    θ; aliases: of whoever asked.
    """

    ref: CheckpointRef
    bytes: int
    parameters: int
    description: Description
    created_at: float
    aliases: tuple[str, ...] = ()
