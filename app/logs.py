"""Logs: one set-up for every process of the service, one line of key=value fields for one event.

Our code writes ``log = logging.getLogger(__name__)`` and ``log.info("event", extra={...})``. What a
line is about (request_id, adaptation_id) is bound to structlog's context variables and stands in
every line that is logged meanwhile, a library's too. Must not know what is logged.
"""

import logging
import sys
from collections.abc import Sequence
from typing import Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from app.settings import Settings

OURS: Final = ("app", "worker", "models", "migrations", "benchmarks")
MOST_IDS: Final = 64  # a batch has 32; thousands may expire at once
ADD_FIELDS: Final = structlog.stdlib.ExtraAdder()


def set_up_logging(settings: Settings) -> None:
    """Has this process write lines to stderr, as FEWSTEP_LOG_FORMAT and FEWSTEP_LOG_LEVEL say.

    Our own loggers from that level on, libraries from warnings on at the least. Takes the place of
    whatever was set up before.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_formatter(settings))
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def ids_of(adaptation_ids: Sequence[str]) -> dict[str, object]:
    """The field that names these adaptations: adaptation_id for one, adaptation_ids for several, of
    many the first and their number.
    """
    if len(adaptation_ids) == 1:
        return {"adaptation_id": adaptation_ids[0]}
    if len(adaptation_ids) > MOST_IDS:
        few = [*adaptation_ids[:MOST_IDS], "…"]
        return {"adaptation_ids": few, "adaptations": len(adaptation_ids)}
    return {"adaptation_ids": list(adaptation_ids)}


def _formatter(settings: Settings) -> logging.Formatter:
    """Neither format shows local variables in a traceback: keys are among them."""
    plain = structlog.processors.format_exc_info, structlog.processors.JSONRenderer()
    readable = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[_end_with_the_line, _add_our_fields, *_shared()],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *(plain if settings.log_format == "json" else (readable,)),
        ],
    )


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        _name_one_or_all,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _end_with_the_line(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Some libraries end what they say with a line feed of their own."""
    event["event"] = event["event"].rstrip()
    return event


def _add_our_fields(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Only ours: a library's are for its own formatter (Celery hands over the whole task)."""
    if event["_record"].name.partition(".")[0] in OURS:
        return ADD_FIELDS(logger, method, event)
    return event


def _name_one_or_all(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A line about one adaptation does not name all those of its batch again."""
    if "adaptation_id" in event:
        event.pop("adaptation_ids", None)
    return event
