"""Every answer says how long it took, refusals and our own mistakes too."""

import re

import pytest
from starlette.testclient import TestClient

from app.api.application import create_service
from app.settings import read_settings


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/livez", 200),
        ("GET", "/docs", 200),
        ("GET", "/nowhere", 404),
        ("PUT", "/predict", 405),
        ("GET", "/problems/expired", 200),
        ("GET", "/limits", 500),  # for nothing was started here
    ],
)
def test_server_timing_is_on_every_answer(method: str, path: str, status: int) -> None:
    app = create_service(read_settings(redis_url="redis://127.0.0.1:1"))

    answer = TestClient(app, raise_server_exceptions=False).request(method, path)

    assert answer.status_code == status
    assert re.fullmatch(r"total;dur=[0-9]+\.[0-9]{3}", answer.headers["server-timing"])
