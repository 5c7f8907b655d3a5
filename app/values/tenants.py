"""Tenants that have a meaning of their own: ``default`` where no keys are used; ``shared`` owns the
shipped checkpoints.
"""

from typing import Final

DEFAULT: Final = "default"
SHARED: Final = "shared"
RESERVED: Final = frozenset({SHARED})


def refuse_reserved(tenant_id: str) -> None:
    """Raises ValueError for a tenant whose things are the service's own, so that nobody is it."""
    if tenant_id in RESERVED:
        raise ValueError(
            f"the tenant {tenant_id!r} is reserved for what comes with the service; choose another"
        )
