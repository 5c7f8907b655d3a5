"""The few calls that the example scripts make to a running Fewstep, with httpx alone."""

import argparse
import os
from typing import Any

import httpx

Json = dict[str, Any]
UNFINISHED = {"queued", "running"}


def parser(docstring: str | None, *, out: str) -> argparse.ArgumentParser:
    """The options that every example has: --url and --out; the docstring's first line as help."""
    options = argparse.ArgumentParser(description=(docstring or "").partition("\n")[0])
    here = f"http://127.0.0.1:{os.environ.get('FEWSTEP_PORT', '8000')}"
    options.add_argument("--url", default=here, help="where Fewstep answers")
    options.add_argument("--out", default=out, help="the picture to write (default: %(default)s)")
    return options


def connect(url: str) -> httpx.Client:
    """A client for one service; FEWSTEP_API_KEY, where set, goes along as a bearer token."""
    key = os.environ.get("FEWSTEP_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(base_url=url, headers=headers, timeout=90)


def adapt(service: httpx.Client, request: Json) -> Json:
    """The finished adaptation that ``POST /adapt`` makes of ``request``."""
    adaptation = send(service, "POST", "/adapt", json=request)
    while adaptation["status"] in UNFINISHED:
        adaptation = send(service, "GET", f"/adaptations/{adaptation['id']}", params={"wait": 30})
    if adaptation["status"] != "succeeded":
        raise SystemExit(f"the adaptation {adaptation['status']}: {adaptation['error']}")
    return adaptation


def send(service: httpx.Client, verb: str, path: str, **content: Any) -> Json:
    """The JSON answer to one request; ends the script with the service's own words on a refusal."""
    try:
        response = service.request(verb, path, **content)
    except httpx.ConnectError:
        raise SystemExit(
            f"nothing answers at {service.base_url}; start it with: make serve, or give its --url"
        ) from None
    if response.is_error:
        raise SystemExit(f"{response.status_code} on {verb} {path}: {response.text}")
    answer: Json = response.json()
    return answer
