"""Who asks: from the hash of a key to its caller.

As long as no key was ever created there is one caller, the default tenant.
"""

from app.backends import Backends
from app.db.connections import reading
from app.db.keys import find_caller, has_keys, hash_of
from app.values.caller import Caller
from app.values.lasting import Lasting
from app.values.tenants import DEFAULT

__all__ = ["KEYLESS", "caller_of", "hash_of"]

KEYLESS = Caller(tenant_id=DEFAULT, key_id=None)


def caller_of(backends: Backends, key_hash: str) -> Lasting[Caller] | None:
    """The caller with this key, and how long the key lives; ``KEYLESS`` where none was created yet.

    The hash "" stands for a caller without a key. None for an unknown, expired or revoked key, and
    for none where one is needed.
    """
    with reading(backends.engine) as connection:
        found = find_caller(connection, key_hash) if key_hash else None
        if found is None and not has_keys(connection):
            return Lasting(value=KEYLESS)
        return found
