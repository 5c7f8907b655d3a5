"""Blobs as objects of an S3-compatible store, where a put is atomic by itself."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from typing import Any

from obstore.exceptions import BaseError, NotFoundError
from obstore.store import from_url

from app.store.blobs import (
    DIGEST,
    TENANT,
    BlobMissing,
    StoreUnavailable,
    blob_name,
    checked,
    digest_of,
)


def open_bucket(url: str) -> "ObjectStore":
    """The store behind `s3://bucket/prefix`; credentials and endpoint come from AWS_* variables."""
    return ObjectStore(from_url(url))


class ObjectStore:
    """Blobs as objects `{tenant}/{digest}` of an S3-compatible store; a put there is atomic."""

    def __init__(self, bucket: Any) -> None:
        self._bucket = bucket

    def put(self, tenant: str, data: bytes) -> str:
        digest = digest_of(data)
        name = blob_name(tenant, digest)
        try:
            with _answers_named(name):
                self._bucket.put(name, data)
        except BlobMissing as error:
            raise StoreUnavailable("the bucket does not exist") from error
        return digest

    def together(self) -> AbstractContextManager[None]:
        return nullcontext()

    def get(self, tenant: str, digest: str) -> bytes:
        name = blob_name(tenant, digest)
        with _answers_named(name):
            data = bytes(self._bucket.get(name).bytes())
        return checked(tenant, digest, data)

    def delete(self, tenant: str, digest: str) -> None:
        name = blob_name(tenant, digest)
        with suppress(BlobMissing), _answers_named(name):
            self._bucket.delete(name)

    def exists(self, tenant: str, digest: str) -> bool:
        name = blob_name(tenant, digest)
        with suppress(BlobMissing), _answers_named(name):
            self._bucket.head(name)
            return True
        return False

    def free_bytes(self) -> int | None:
        return None

    def tenants(self) -> Iterator[str]:
        with _answers_named("tenants"):
            found = self._bucket.list_with_delimiter()["common_prefixes"]
        names = (str(prefix).strip("/").rpartition("/")[2] for prefix in found)
        yield from (name for name in sorted(names) if TENANT.fullmatch(name))

    def older(self, tenant: str, than_s: float) -> Iterator[str]:
        with _answers_named(tenant):
            for portion in self._bucket.list(f"{tenant}/"):
                for about in portion:
                    name = str(about["path"]).rpartition("/")[2]
                    if DIGEST.fullmatch(name) and _is_older(about, than_s):
                        yield name

    def free(self, tenant: str, digest: str, *, older_than_s: float) -> bool:
        """Looked at again right before: an object store has no way to remove what did not change,
        so the grace must be longer than that takes, and is by far.
        """
        name = blob_name(tenant, digest)
        with suppress(BlobMissing), _answers_named(name):
            if _is_older(self._bucket.head(name), older_than_s):
                self._bucket.delete(name)
                return True
        return False


def _is_older(about: Any, than_s: float) -> bool:
    put_at: datetime = about["last_modified"]
    return (datetime.now(UTC) - put_at).total_seconds() > than_s


@contextmanager
def _answers_named(name: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotFoundError):
        raise BlobMissing(name) from None
    except (BaseError, OSError) as error:
        raise StoreUnavailable("the object store did not answer") from error
