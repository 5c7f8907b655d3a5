"""Lines of our code, of structlog and of libraries come out alike, in the format that was set."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from tests.processes import clean_environment

SET_UP = """
import logging, structlog
from app.logs import set_up_logging
from app.settings import read_settings

settings = read_settings(redis_url="redis://127.0.0.1:1")
set_up_logging(settings)
log = logging.getLogger("app.somewhere")
"""
FAIL = """
def fail(key):
    padding = "l0cal"
    raise RuntimeError("no")

try:
    fail("s3cret")
except RuntimeError:
    log.exception("failed")
    structlog.get_logger("worker.somewhere").exception("failed")
"""
ANSWER = """
from starlette.testclient import TestClient
from app.api.application import create_service

client = TestClient(create_service(settings), raise_server_exceptions=False)
client.get(PATH, headers={"X-Request-Id": "mine"})  # fails, for nothing was started here
"""


def lines_of(code: str, **variables: str) -> list[str]:
    """What a fresh process with these settings writes to stderr; nothing to stdout."""
    ended = subprocess.run(
        [sys.executable, "-c", SET_UP + code],
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert ended.stdout == ""
    return ended.stderr.splitlines()


def records_of(code: str, **variables: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines_of(code, FEWSTEP_LOG_FORMAT="json", **variables)]


def test_a_readable_line_has_time_level_event_logger_and_fields() -> None:
    [line] = lines_of('log.info("adaptation placed", extra={"adaptation_id": "ad_1", "steps": 5})')

    time, said = line.split(maxsplit=1)
    assert re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{6}Z", time)
    words = r"\[info +\] adaptation placed +\[app.somewhere\] adaptation_id=ad_1 steps=5"
    assert re.fullmatch(words, said)


def test_both_ways_of_logging_and_both_formats_say_the_same() -> None:
    code = """
structlog.contextvars.bind_contextvars(request_id="mine")
log.warning("said", extra={"E": 2})
structlog.get_logger("app.somewhere").warning("said", E=2)
"""
    first, second = records_of(code)
    readable = [line.partition("Z ")[2] for line in lines_of(code)]

    assert first.pop("timestamp") <= second.pop("timestamp")
    said = {"event": "said", "logger": "app.somewhere", "level": "warning"}
    assert first == second == {**said, "request_id": "mine", "E": 2}
    assert readable[0] == readable[1]


def test_our_loggers_obey_the_level_and_libraries_speak_from_warnings_on() -> None:
    code = """
for logger in (log, logging.getLogger("a_library")):
    for level in (10, 20, 30, 40):
        logger.log(level, "said")
"""

    def said(level: str) -> list[tuple[str, str]]:
        found = records_of(code, FEWSTEP_LOG_LEVEL=level)
        return [(line["logger"].partition("_")[0], line["level"]) for line in found]

    library = [("a", "warning"), ("a", "error")]
    ours = [("app.somewhere", level) for level in ("debug", "info", "warning", "error")]
    assert said("debug") == ours + library
    assert said("warning") == ours[2:] + library
    assert said("error") == [ours[3], library[1]]


def test_a_traceback_is_one_field_without_local_variables() -> None:
    first, second = records_of(FAIL)

    assert first["exception"].endswith("RuntimeError: no")
    assert "in fail" in first["exception"]
    assert not re.search("s3cret|l0cal", json.dumps([first, second]))


def test_a_readable_traceback_has_no_local_variables() -> None:
    shown = "\n".join(lines_of(FAIL))

    assert shown.count("RuntimeError: no") == 2
    assert shown.count("s3cret") == shown.count("l0cal") == 0


def test_a_librarys_fields_are_left_to_its_own_formatter() -> None:
    code = 'logging.getLogger("a_library").warning("said", extra={"data": {"args": 1}})'

    [line] = records_of(code)

    assert line.keys() == {"event", "level", "logger", "timestamp"}


def test_a_line_about_one_adaptation_does_not_name_its_batch() -> None:
    code = """
structlog.contextvars.bind_contextvars(adaptation_ids=["ad_1", "ad_2"])
log.info("claimed")
log.info("ended", extra={"adaptation_id": "ad_1"})
"""
    claimed, ended = records_of(code)

    assert claimed["adaptation_ids"] == ["ad_1", "ad_2"]
    assert ended["adaptation_id"] == "ad_1"
    assert "adaptation_ids" not in ended


def test_setting_up_again_repeats_no_line() -> None:
    assert len(lines_of('set_up_logging(settings); log.info("said")')) == 1


def test_warnings_of_python_are_lines_too() -> None:
    [line] = records_of("import warnings; warnings.warn('old', UserWarning, stacklevel=1)")

    assert (line["logger"], line["level"]) == ("py.warnings", "warning")


@pytest.mark.parametrize("path", ["/limits", "/predict"])
def test_a_mistake_of_the_api_is_a_line_in_the_format_that_was_set(path: str) -> None:
    [line] = records_of(f"PATH = {path!r}\n{ANSWER}", FEWSTEP_LOG_LEVEL="error")

    del line["timestamp"]
    assert line == {
        "level": "error",
        "logger": "app.api.problems",
        "event": "request failed",
        "method": "GET",
        "route": path,
        "error": "AttributeError",
        "request_id": "mine",
    }
