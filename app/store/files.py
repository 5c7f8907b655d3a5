"""Blobs as files: whole under their name, or not at all, whenever the machine stops."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import time
from typing import Final

from app.store.blobs import (
    BlobMissing,
    StoreFull,
    StoreUnavailable,
    blob_name,
    checked,
    digest_of,
)

# On the file system of the blobs, so that a rename is one step; apart from them, so that what a
# crash left can be removed without reading every tenant's folder.
UNFINISHED: Final = ".unfinished"
ABANDONED_AFTER_S: Final = 3600.0


class FileStore:
    """Files `{root}/{tenant}/{digest}`, each written aside, synced and renamed into place."""

    def __init__(self, root: Path) -> None:
        self._root = root
        (root / UNFINISHED).mkdir(parents=True, exist_ok=True)
        _remove_abandoned(root / UNFINISHED)

    def put(self, tenant: str, data: bytes) -> str:
        digest = digest_of(data)
        path = self._path(tenant, digest)
        with _failures_named():
            if not _holds(path, data):
                self._write(path, data)
        return digest

    def get(self, tenant: str, digest: str) -> bytes:
        path = self._path(tenant, digest)
        try:
            with _failures_named():
                data = path.read_bytes()
        except FileNotFoundError:
            raise BlobMissing(blob_name(tenant, digest)) from None
        return checked(tenant, digest, data)

    def delete(self, tenant: str, digest: str) -> None:
        with _failures_named():
            self._path(tenant, digest).unlink(missing_ok=True)

    def exists(self, tenant: str, digest: str) -> bool:
        return self._path(tenant, digest).is_file()

    def _path(self, tenant: str, digest: str) -> Path:
        return self._root / blob_name(tenant, digest)

    def _write(self, path: Path, data: bytes) -> None:
        if not path.parent.is_dir():
            path.parent.mkdir(exist_ok=True)
            _sync_folder(self._root)
        descriptor, aside = tempfile.mkstemp(dir=self._root / UNFINISHED)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.rename(aside, path)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(aside)
            raise
        _sync_folder(path.parent)


def _holds(path: Path, data: bytes) -> bool:
    # Comparing, not just looking, so that putting a damaged blob again mends it.
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_abandoned(folder: Path) -> None:
    for file in folder.iterdir():
        with suppress(FileNotFoundError):
            if time() - file.stat().st_mtime > ABANDONED_AFTER_S:
                file.unlink()


@contextmanager
def _failures_named() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFull("no space is left for blobs") from error
        raise StoreUnavailable(error.strerror or "the folder of blobs cannot be used") from error
