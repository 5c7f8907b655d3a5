"""Blobs as files: whole under their name, or not at all, whenever the machine stops."""

import errno
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Final
from uuid import uuid4

from app.store.blobs import (
    DIGEST,
    TENANT,
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
        self._mine = _Mine()
        (root / UNFINISHED).mkdir(parents=True, exist_ok=True)
        _remove_abandoned(root / UNFINISHED)

    def put(self, tenant: str, data: bytes) -> str:
        digest = digest_of(data)
        path = self._path(tenant, digest)
        with _failures_named():
            if _holds(path, data) and _renewed(path):
                _sync_folder(path.parent)  # who wrote it may have died before that
            else:
                self._write(path, data)
        return digest

    @contextmanager
    def together(self) -> Iterator[None]:
        with ExitStack() as open_files:
            self._mine.batch = _Batch(open_files=open_files)
            try:
                yield
                with _failures_named():
                    _sync_and_rename(self._mine.batch.written)
            finally:
                self._mine.batch = None

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

    def free_bytes(self) -> int | None:
        with _failures_named():
            return shutil.disk_usage(self._root).free

    def tenants(self) -> Iterator[str]:
        with _failures_named():
            names = sorted(path.name for path in self._root.iterdir() if path.is_dir())
        yield from (name for name in names if TENANT.fullmatch(name))

    def older(self, tenant: str, than_s: float) -> Iterator[str]:
        with (
            suppress(FileNotFoundError),
            _failures_named(),
            os.scandir(self._root / tenant) as all_,
        ):
            for entry in all_:
                with suppress(FileNotFoundError):
                    if DIGEST.fullmatch(entry.name) and _is_older(entry.path, than_s):
                        yield entry.name

    def free(self, tenant: str, digest: str, *, older_than_s: float) -> bool:
        """Taken aside before its age is looked at: whoever puts it from then on writes it anew, and
        whoever put it before made it too young.
        """
        path = self._path(tenant, digest)
        aside = self._root / UNFINISHED / f"free-{uuid4().hex}"
        with suppress(FileNotFoundError), _failures_named():
            os.rename(path, aside)
            if _is_older(aside, older_than_s):
                aside.unlink()
                return True
            with suppress(FileExistsError):
                os.link(aside, path)
            aside.unlink()
        return False

    def _path(self, tenant: str, digest: str) -> Path:
        return self._root / blob_name(tenant, digest)

    def _write(self, path: Path, data: bytes) -> None:
        if not path.parent.is_dir():
            path.parent.mkdir(exist_ok=True)
            _sync_folder(self._root)
        batch, folder = self._mine.batch, self._root / UNFINISHED
        if batch is not None:
            batch.written.append((batch.open_files.enter_context(_aside(folder, data)), path))
            return
        with _aside(folder, data) as aside:
            _sync_and_rename([(aside, path)])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Aside:
    """A file that is written, open until its bytes are on the disk, and not yet under its name."""

    descriptor: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """The files of a block ``together``, each with the path that it will have."""

    open_files: ExitStack
    written: list[tuple[_Aside, Path]] = field(default_factory=list)


class _Mine(threading.local):
    """The block ``together`` that a thread is in."""

    batch: _Batch | None = None


@contextmanager
def _aside(folder: Path, data: bytes) -> Iterator[_Aside]:
    """A new file of the folder that holds the data; removed again where the block fails."""
    name = str(folder / uuid4().hex)
    descriptor = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            yield _Aside(descriptor=descriptor, name=name)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise


def _sync_and_rename(written: Sequence[tuple[_Aside, Path]]) -> None:
    """The bytes first, then the names, then the folders that hold the names."""
    for aside, _ in written:
        os.fsync(aside.descriptor)
    for aside, path in written:
        os.rename(aside.name, path)
    for folder in {path.parent for _, path in written}:
        _sync_folder(folder)


def _holds(path: Path, data: bytes) -> bool:
    # Comparing, not just looking, so that putting a damaged blob again mends it.
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except FileNotFoundError:
        return False


def _renewed(path: Path) -> bool:
    """Has the file be as old as one that is put now; False where it is gone meanwhile.

    Looked at once more: it may have been taken aside between its being found and its being renewed.
    """
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return path.exists()


def _is_older(path: Path | str, than_s: float) -> bool:
    return time() - os.stat(path).st_mtime > than_s


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
