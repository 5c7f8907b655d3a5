"""A tenant's adaptation by its id."""

from collections.abc import Sequence

from app.backends import Backends
from app.db.connections import reading
from app.db.lookups import find_all, find_lasting
from app.errors import ServiceError
from app.values.adaptation import Adaptation
from app.values.lasting import Lasting


def find_adaptation(backends: Backends, tenant_id: str, adaptation_id: str) -> Adaptation:
    """A tenant's adaptation. Raises ServiceError ``not-found``, the same for another tenant's."""
    return find_lasting_adaptation(backends, tenant_id, adaptation_id).value


def find_lasting_adaptation(
    backends: Backends, tenant_id: str, adaptation_id: str
) -> Lasting[Adaptation]:
    """The same, with the seconds until it expires."""
    with reading(backends.engine) as connection:
        found = find_lasting(connection, tenant_id, adaptation_id)
    if found is None:
        raise ServiceError("not-found", "there is no such adaptation")
    return found


def find_adaptations(backends: Backends, tenant_id: str, ids: Sequence[str]) -> list[Adaptation]:
    """Those of a tenant's adaptations that there still are, in the order of their ids."""
    with reading(backends.engine) as connection:
        return find_all(connection, tenant_id, ids)
