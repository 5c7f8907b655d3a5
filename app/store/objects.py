"""Blobs as objects of an S3-compatible store, where a put is atomic by itself."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any

from obstore.exceptions import BaseError, NotFoundError
from obstore.store import from_url

from app.store.blobs import BlobMissing, StoreUnavailable, blob_name, checked, digest_of


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


@contextmanager
def _answers_named(name: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotFoundError):
        raise BlobMissing(name) from None
    except (BaseError, OSError) as error:
        raise StoreUnavailable("the object store did not answer") from error
