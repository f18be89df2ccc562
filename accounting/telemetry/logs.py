"""Structured logs."""

import logging
import sys
import uuid
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_PERSONAL = ("user", "username", "pod", "machine")


def configure_logs(level: str, *, as_json: bool, stream: TextIO | None = None) -> str:
    """Send all logs, those of libraries too, to one stream, with an id of this run.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``.
        as_json: one JSON object per line, instead of text for people.
        stream: standard error if not given: standard output is for data.

    Returns:
        The run's id, which every line carries.
    """
    run = uuid.uuid4().hex[:8]
    threshold = logging.getLevelNamesMapping()[level.upper()]
    stream = stream or sys.stderr

    def with_run(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
        return {"run": run, **event}  # a run's own id wins over the process's

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        with_run,
        without_people,
    ]
    last: Processor = structlog.dev.ConsoleRenderer(
        colors=stream.isatty(),
        # The default one shows local variables, which may name people.
        exception_formatter=structlog.dev.plain_traceback,
    )
    if as_json:
        shared.append(structlog.processors.format_exc_info)
        last = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(last, foreign_pre_chain=shared))
    logging.captureWarnings(capture=True)  # Python's own warnings are lines of the log, too
    logging.basicConfig(handlers=[handler], level=max(threshold, logging.WARNING), force=True)
    return run


def without_people(_logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Drop what names a person from everything above debug (I3)."""
    if name == "debug":
        return event
    return {key: value for key, value in event.items() if key not in _PERSONAL}
