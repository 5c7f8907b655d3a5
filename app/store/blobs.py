"""What every store of blobs promises, how it fails, and which names it accepts."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Final, Protocol

TENANT: Final = re.compile(r"[a-z0-9_]{1,64}", re.ASCII)
DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


class BlobMissing(Exception):
    """There is no blob of this name."""


class BlobDamaged(Exception):
    """The bytes under this name are not the ones that were put there."""


class StoreFull(Exception):
    """There is no room for another blob; free some, or give the store more."""


class StoreUnavailable(Exception):
    """The object store does not answer, or refuses us."""


class BlobStore(Protocol):
    """What keeps blobs. A name is a tenant ([a-z0-9_]) and 64 hexadecimal digits.

    Every method raises ValueError for any other name, and StoreUnavailable when it cannot work.
    """

    def put(self, tenant: str, data: bytes) -> str:
        """The SHA-256 under which data now lies; putting it again makes it as new, no more.

        Raises StoreFull.
        """
        ...

    def together(self) -> AbstractContextManager[None]:
        """A block whose puts, by this thread, are there when it has ended, and cost less.

        Raises StoreFull, StoreUnavailable at the end of the block as well; then none of them is
        promised.
        """
        ...

    def get(self, tenant: str, digest: str) -> bytes:
        """The bytes, checked against their name. Raises BlobMissing, BlobDamaged."""
        ...

    def delete(self, tenant: str, digest: str) -> None:
        """Removes the blob where there is one."""
        ...

    def exists(self, tenant: str, digest: str) -> bool:
        """Whether something lies under this name; get tells whether it is whole."""
        ...

    def free_bytes(self) -> int | None:
        """How much room there is for more; None where nobody knows an end."""
        ...

    def tenants(self) -> Iterator[str]:
        """Those that may have blobs, also where nobody knows them any more."""
        ...

    def older(self, tenant: str, than_s: float) -> Iterator[str]:
        """The digests of the tenant's blobs that were last put so long ago, one after another."""
        ...

    def free(self, tenant: str, digest: str, *, older_than_s: float) -> bool:
        """Removes the blob unless it was put again meanwhile; whether it is gone."""
        ...


def digest_of(data: bytes) -> str:
    """The name of these bytes: 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def blob_name(tenant: str, digest: str) -> str:
    """`{tenant}/{digest}`, from which no other place is reachable. Raises ValueError."""
    if not TENANT.fullmatch(tenant):
        raise ValueError("a tenant is 1 to 64 of a-z, 0-9 and _")
    if not DIGEST.fullmatch(digest):
        raise ValueError("a digest is 64 hexadecimal digits, a to f in lower case")
    return f"{tenant}/{digest}"


def checked(tenant: str, digest: str, data: bytes) -> bytes:
    """The bytes, if they are the ones that their name says. Raises BlobDamaged."""
    if digest_of(data) != digest:
        raise BlobDamaged(blob_name(tenant, digest))
    return data
