"""Blobs: whole under their name or not at all, never wrong, never outside their place."""

import errno
import hashlib
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from app.store import BlobDamaged, BlobMissing, BlobStore, StoreFull, open_store
from app.store.files import ABANDONED_AFTER_S, UNFINISHED
from app.store.objects import ObjectStore

DATA = b"phi" * 1000
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(params=["files", "objects"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    if request.param == "files":
        return open_store(f"file://{tmp_path}/blobs")
    return ObjectStore(MemoryStore())


def test_a_blob_comes_back_under_its_sha256(store: BlobStore) -> None:
    assert store.put("acme", DATA) == DIGEST
    assert store.get("acme", DIGEST) == DATA
    assert store.exists("acme", DIGEST)


def test_putting_a_blob_again_changes_nothing(store: BlobStore) -> None:
    assert store.put("acme", DATA) == store.put("acme", DATA)
    assert store.get("acme", DIGEST) == DATA


def test_blobs_put_together_are_there_when_the_block_has_ended(store: BlobStore) -> None:
    with store.together():
        digests = [store.put(tenant, DATA + b"1") for tenant in ("acme", "other", "acme")]

    assert store.get("acme", digests[0]) == store.get("other", digests[1]) == DATA + b"1"
    assert digests[0] == digests[1] == digests[2]
    with store.together():
        pass
    assert store.put("acme", DATA) == DIGEST  # outside of the block as before
    assert store.get("acme", DIGEST) == DATA


def test_another_tenants_blob_does_not_exist(store: BlobStore) -> None:
    store.put("acme", DATA)

    assert not store.exists("other", DIGEST)
    with pytest.raises(BlobMissing):
        store.get("other", DIGEST)


def test_a_deleted_blob_is_missing_and_deleting_it_again_is_harmless(store: BlobStore) -> None:
    store.put("acme", DATA)

    store.delete("acme", DIGEST)
    store.delete("acme", DIGEST)

    assert not store.exists("acme", DIGEST)
    with pytest.raises(BlobMissing):
        store.get("acme", DIGEST)


@pytest.mark.parametrize("tenant", ["", "..", ".", "a/b", "A", "a\n", "ä", ".unfinished", "a" * 65])
def test_no_tenant_name_leads_out_of_the_store(store: BlobStore, tenant: str) -> None:
    with pytest.raises(ValueError, match="a tenant is"):
        store.put(tenant, DATA)
    with pytest.raises(ValueError, match="a tenant is"):
        store.get(tenant, DIGEST)
    with pytest.raises(ValueError, match="a tenant is"):
        store.delete(tenant, DIGEST)
    with pytest.raises(ValueError, match="a tenant is"):
        store.exists(tenant, DIGEST)


@pytest.mark.parametrize(
    "digest", ["", "../" + "0" * 61, "0" * 63, "0" * 65, "A" * 64, "0" * 64 + "\n", "٠" * 64]
)
def test_no_digest_leads_out_of_the_store(store: BlobStore, digest: str) -> None:
    with pytest.raises(ValueError, match="a digest is"):
        store.get("acme", digest)
    with pytest.raises(ValueError, match="a digest is"):
        store.delete("acme", digest)
    with pytest.raises(ValueError, match="a digest is"):
        store.exists("acme", digest)


@pytest.mark.parametrize("bit", [0, 7, 8 * 1500, 8 * len(DATA) - 1])
def test_a_flipped_bit_is_detected_and_putting_again_mends_it(tmp_path: Path, bit: int) -> None:
    store = open_store(f"file://{tmp_path}")
    store.put("acme", DATA)
    damaged = bytearray(DATA)
    damaged[bit // 8] ^= 1 << bit % 8
    (tmp_path / "acme" / DIGEST).write_bytes(damaged)

    with pytest.raises(BlobDamaged):
        store.get("acme", DIGEST)
    store.put("acme", DATA)

    assert store.get("acme", DIGEST) == DATA


def test_a_truncated_object_is_detected() -> None:
    bucket = MemoryStore()
    bucket.put(f"acme/{DIGEST}", DATA[:-1])

    with pytest.raises(BlobDamaged):
        ObjectStore(bucket).get("acme", DIGEST)


@pytest.mark.parametrize("moment", ["rename", "fsync"])
def test_a_crash_before_the_rename_leaves_nothing_under_the_name(
    tmp_path: Path, moment: str
) -> None:
    crash = (
        "import os, signal, sys\n"
        "from app.store import open_store\n"
        f"os.{moment} = lambda *a: os.kill(os.getpid(), signal.SIGKILL)\n"
        "(store := open_store(sys.argv[1]))\n"
        "os.makedirs(sys.argv[1].removeprefix('file://') + '/acme')\n"
        "store.put('acme', b'phi' * 1000)\n"
    )

    ended = subprocess.run([sys.executable, "-c", crash, f"file://{tmp_path}"], check=False)

    assert ended.returncode == -signal.SIGKILL
    assert list((tmp_path / "acme").iterdir()) == []
    assert len(list((tmp_path / UNFINISHED).iterdir())) == 1
    assert open_store(f"file://{tmp_path}").put("acme", DATA) == DIGEST


def test_what_a_crash_left_is_removed_after_an_hour_and_not_before(tmp_path: Path) -> None:
    open_store(f"file://{tmp_path}")
    young, old = tmp_path / UNFINISHED / "young", tmp_path / UNFINISHED / "old"
    for file in (young, old):
        file.touch()
    past = old.stat().st_mtime - ABANDONED_AFTER_S - 1
    os.utime(old, (past, past))

    open_store(f"file://{tmp_path}")

    assert list((tmp_path / UNFINISHED).iterdir()) == [young]


def test_a_full_disk_is_told_apart_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(f"file://{tmp_path}")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    (tmp_path / "acme").mkdir()

    with pytest.raises(StoreFull):
        store.put("acme", DATA)

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_blobs_put_together_have_their_bytes_on_the_disk_before_any_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(f"file://{tmp_path}")
    (tmp_path / "acme").mkdir()
    done: list[str] = []
    sync, rename = os.fsync, os.rename

    def synced(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        done.append("folder" if is_folder else "file")
        sync(descriptor)

    def renamed(old: str, new: Path) -> None:
        done.append("name")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    with store.together():
        for number in range(3):
            store.put("acme", DATA + bytes([number]))
        assert list((tmp_path / "acme").iterdir()) == []

    assert done == ["file"] * 3 + ["name"] * 3 + ["folder"]
    assert len(list((tmp_path / "acme").iterdir())) == 3


@pytest.mark.parametrize("moment", ["within", "at the end"])
def test_blobs_put_together_leave_nothing_behind_where_the_block_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    store = open_store(f"file://{tmp_path}")
    (tmp_path / "acme").mkdir()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def put_two() -> None:
        with store.together():
            store.put("acme", DATA)
            store.put("acme", DATA + b"2")
            if moment == "within":
                raise StoreFull

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        with pytest.raises(StoreFull):
            put_two()

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert store.put("acme", DATA) == DIGEST


@pytest.mark.parametrize("url", ["blobs", "file://host/blobs", "ftp://host/x", "s3:///x", ""])
def test_an_address_that_is_no_store_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="a store is"):
        open_store(url)
