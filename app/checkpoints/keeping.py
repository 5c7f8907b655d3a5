"""What a tenant does with versions that are there: aliases, and the end of its own."""

from app.backends import Backends, read_blob
from app.checkpoints.registry import Reference, find_checkpoint, with_aliases
from app.db.aliases import put_alias, remove_alias
from app.db.checkpoints import delete_version, uses_of
from app.db.connections import writing
from app.db.tenants import lock_tenant
from app.errors import ServiceError
from app.store import BlobDamaged, BlobMissing
from app.values.checkpoint import CheckpointRow


def version_of(backends: Backends, tenant_id: str, name: str, version: int) -> CheckpointRow:
    """A version that the tenant can use, with its aliases. Raises ServiceError not-found."""
    found = find_checkpoint(backends.engine, tenant_id, Reference(name=name, version=version))
    return with_aliases(backends.engine, tenant_id, [found])[0]


def set_alias(
    backends: Backends, tenant_id: str, name: str, alias: str, version: int
) -> tuple[CheckpointRow, bool]:
    """The version that the tenant's alias stands for from now on, and whether the alias is new.

    Raises ServiceError not-found for a version that it cannot use.
    """
    version_of(backends, tenant_id, name, version)
    with writing(backends.engine) as connection:
        is_new = put_alias(connection, tenant_id, name, alias, version)
    return version_of(backends, tenant_id, name, version), is_new


def end_alias(backends: Backends, tenant_id: str, name: str, alias: str) -> None:
    """Raises ServiceError not-found where the tenant has no such alias."""
    with writing(backends.engine) as connection:
        removed = remove_alias(connection, tenant_id, name, alias)
    if not removed:
        raise ServiceError("not-found", "there is no such alias")


def delete_checkpoint(backends: Backends, tenant_id: str, name: str, version: int) -> None:
    """Ends one of the tenant's own versions; its bytes are the sweeper's.

    Raises ServiceError: not-found, forbidden for one that came with the service, in-use.
    """
    found = version_of(backends, tenant_id, name, version)
    if found.ref.tenant_id != tenant_id:
        raise ServiceError("forbidden", "it came with the service and belongs to every tenant")
    with writing(backends.engine) as connection:
        lock_tenant(connection, tenant_id)
        used = uses_of(connection, found.ref)
        if used is not None:
            raise ServiceError("in-use", f"expected a version that nothing needs: {used}")
        deleted = delete_version(connection, tenant_id, name, version)
    if not deleted:
        raise ServiceError("not-found", "there is no such checkpoint")


def file_of(backends: Backends, row: CheckpointRow) -> bytes:
    """The file as it was added. Raises ServiceError damaged."""
    try:
        return read_blob(backends, row.ref.tenant_id, row.ref.digest)
    except (BlobMissing, BlobDamaged) as error:
        raise ServiceError("damaged", "the stored checkpoint failed its check") from error
