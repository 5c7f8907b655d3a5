"""Blobs by their content: a tenant's bytes under their SHA-256, in files or in an object store.

Knows bytes only; must not know what they mean, nor who refers to them. A blob is never changed:
it is there whole under its name, or not at all.
"""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from app.store.blobs import BlobDamaged, BlobMissing, BlobStore, StoreFull, StoreUnavailable
from app.store.files import FileStore

__all__ = [
    "BlobDamaged",
    "BlobMissing",
    "BlobStore",
    "StoreFull",
    "StoreUnavailable",
    "open_store",
]


def open_store(url: str) -> BlobStore:
    """The store behind `file:///folder` or `s3://bucket/prefix` (Settings.effective_store_url).

    Raises ValueError for any other URL.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and not parts.netloc and parts.path:
        return FileStore(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        from app.store.objects import open_bucket  # only who keeps blobs in S3 pays for obstore

        return open_bucket(url)
    raise ValueError("a store is file:///folder or s3://bucket/prefix")
