"""Blobs in S3, over HTTP: against a small server of our own that keeps objects in a dictionary."""

import re
import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from app.store import BlobDamaged, BlobMissing, StoreUnavailable, open_store

DATA = b"phi" * 100
DIGEST = sha256(DATA).hexdigest()


class Bucket(BaseHTTPRequestHandler):
    """As much of S3 as a store of blobs uses: PUT, GET, HEAD, and POST to delete."""

    protocol_version = "HTTP/1.1"
    objects: ClassVar[dict[str, bytes]] = {}
    is_broken: ClassVar[bool] = False

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.is_broken:
            self.objects[self.path] = data
        self.answer(403 if self.is_broken else 200)

    def do_GET(self) -> None:
        found = self.objects.get(self.path)
        self.answer(404 if found is None else 200, found or b"")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        keys = re.findall("<Key>(.*?)</Key>", asked)
        for key in keys:
            self.objects.pop(f"{self.path.partition('?')[0]}/{key}", None)
        deleted = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in keys)
        self.answer(200, f"<DeleteResult>{deleted}</DeleteResult>".encode())

    def answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("ETag", '"e"')
        self.send_header("Last-Modified", "Mon, 23 Nov 2026 10:00:00 GMT")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Bucket]]:
    Bucket.objects, Bucket.is_broken = {}, False
    with ThreadingHTTPServer(("127.0.0.1", 0), Bucket) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        yield Bucket
        server.shutdown()


def test_a_blob_is_an_object_under_the_prefix_tenant_and_digest(bucket: type[Bucket]) -> None:
    store = open_store("s3://fewstep/blobs")

    digest = store.put("acme", DATA)

    assert bucket.objects == {f"/fewstep/blobs/acme/{DIGEST}": DATA}
    assert store.get("acme", digest) == DATA
    assert store.exists("acme", digest)


def test_a_deleted_object_is_missing(bucket: type[Bucket]) -> None:
    store = open_store("s3://fewstep")
    store.put("acme", DATA)

    store.delete("acme", DIGEST)
    store.delete("acme", DIGEST)

    assert not store.exists("acme", DIGEST)
    with pytest.raises(BlobMissing):
        store.get("acme", DIGEST)


def test_a_changed_object_is_detected(bucket: type[Bucket]) -> None:
    store = open_store("s3://fewstep")
    store.put("acme", DATA)
    bucket.objects[f"/fewstep/acme/{DIGEST}"] = DATA + b"!"

    with pytest.raises(BlobDamaged):
        store.get("acme", DIGEST)


def test_a_bucket_that_refuses_us_is_unavailable(bucket: type[Bucket]) -> None:
    bucket.is_broken = True

    with pytest.raises(StoreUnavailable):
        open_store("s3://fewstep").put("acme", DATA)
