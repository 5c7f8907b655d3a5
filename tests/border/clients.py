"""How the usual clients send a body, and what their user is told; each raises if it is a reset."""

import asyncio
import io
import json
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import httpx
import pytest
import requests

Told = tuple[int, str]  # the status, and the detail of the problem
Client = Callable[[str, Path, bool], Told]  # of an address, a file and whether it goes in chunks

PIECE = 65536


def _pieces(file: Path) -> Iterator[bytes]:
    data = file.read_bytes()
    return (data[at : at + PIECE] for at in range(0, len(data), PIECE))


def by_urllib(url: str, file: Path, chunked: bool) -> Told:
    body = _pieces(file) if chunked else file.read_bytes()
    request = urllib.request.Request(url, body, method="POST")
    with pytest.raises(urllib.error.HTTPError) as caught, urllib.request.urlopen(request):
        pass
    with caught.value as answer:
        return answer.code, json.load(answer)["detail"]


def by_requests(url: str, file: Path, chunked: bool) -> Told:
    answer = requests.post(url, data=_pieces(file) if chunked else file.read_bytes(), timeout=30)
    return answer.status_code, answer.json()["detail"]


def by_httpx(url: str, file: Path, chunked: bool) -> Told:
    content = _pieces(file) if chunked else file.read_bytes()
    answer = httpx.post(url, content=content, timeout=30)
    return answer.status_code, answer.json()["detail"]


def by_aiohttp(url: str, file: Path, chunked: bool) -> Told:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in _pieces(file):
            yield piece

    async def post() -> Told:
        body = pieces() if chunked else io.BytesIO(file.read_bytes())
        async with aiohttp.ClientSession() as session, session.post(url, data=body) as answer:
            told = await answer.json(content_type=None)
            return answer.status, told["detail"]

    return asyncio.run(post())


def by_curl(url: str, file: Path, chunked: bool) -> Told:
    """With Expect: 100-continue, as it says of large bodies by itself."""
    return _curl(url, file, chunked)


def by_impatient_curl(url: str, file: Path, chunked: bool) -> Told:
    return _curl(url, file, chunked, "-H", "Expect:")


def by_node(url: str, file: Path, chunked: bool) -> Told:
    script = """
    const [url, file, chunked] = process.argv.slice(1);
    const data = require("fs").readFileSync(file);
    const body = chunked ? new Blob([data]).stream() : data;
    fetch(url, {method: "POST", body, duplex: "half"})
      .then(async (answer) => console.log(answer.status, (await answer.json()).detail));
    """
    return _told(_run("node", "-e", script, url, str(file), "chunked" if chunked else ""))


def _curl(url: str, file: Path, chunked: bool, *options: str) -> Told:
    way = ["-T", "-", "-X", "POST"] if chunked else ["--data-binary", f"@{file}"]
    answer = _run(
        "curl", "-sS", *options, *way, "-w", "\n%{http_code}", url, reads=file if chunked else None
    )
    told, _, status = answer.rpartition("\n")
    return int(status), json.loads(told)["detail"]


def _told(line: str) -> Told:
    status, _, detail = line.strip().partition(" ")
    return int(status), detail


def _run(*command: str, reads: Path | None = None) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    stdin = reads.read_bytes() if reads else b""
    ended = subprocess.run(command, input=stdin, capture_output=True, timeout=60)
    assert ended.returncode == 0, ended.stderr.decode()
    return ended.stdout.decode()


CLIENTS = [by_urllib, by_requests, by_httpx, by_aiohttp, by_curl, by_impatient_curl, by_node]
