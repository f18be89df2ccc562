"""The program around the commands: its options, its settings and database, its exit codes."""
# ruff: noqa: PLC0415 - see accounting/cli/__init__.py

import errno
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from accounting.cli.output import complain
from accounting.errors import AccountingError
from accounting.service.outcome import FAILED, INCOMPLETE

if TYPE_CHECKING:
    from accounting.config import Settings
    from accounting.service.jobs import Jobs
    from accounting.store.engine.database import Database


# What typer itself turns into a message; its base class has different names in its versions.
_USAGE_ERROR: Any = typer.BadParameter.__mro__[-4]


@dataclass(frozen=True)
class Program:
    """What the options before the command say."""

    config: Path | None
    verbose: bool

    def settings(self, level: str = "warning") -> "Settings":
        """The settings; logging starts as they say.

        Args:
            level: of the log, where neither the settings nor ``--verbose`` say.
        """
        from accounting.config import load
        from accounting.telemetry.logs import configure_logs

        settings = load(self.config)
        level = "debug" if self.verbose else settings.log.level or level
        configure_logs(level, as_json=settings.log.as_json)
        return settings


class _Commands(TyperGroup):
    """Turns errors into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            with _interrupted_by_sigterm():
                return super().invoke(ctx)
        except (typer.Exit, typer.Abort, _USAGE_ERROR):
            raise
        except (KeyboardInterrupt, Exception) as exc:
            if isinstance(exc, OSError) and exc.errno == errno.EPIPE:
                raise  # the reader has seen enough
            code, said = _ended_by(exc, verbose=ctx.params.get("verbose", False))
        complain(said)
        raise typer.Exit(code)


def _ended_by(exc: BaseException, *, verbose: bool) -> tuple[int, str]:
    """The exit code, and what is said."""
    if _was_interrupted(exc):
        return INCOMPLETE, "stopped by a signal → run it again: nothing is done by half"
    if isinstance(exc, AccountingError):
        return exc.exit_code, str(exc)
    return FAILED, _unexpected(exc, verbose=verbose)


def _was_interrupted(exc: BaseException | None) -> bool:
    """Whether a signal is at the bottom of it.

    An interrupt on its way up can leave a library's own object half-changed, whose check then
    fails and hides it: SQLAlchemy asserts after each commit that its transaction is over.
    """
    while exc is not None and not isinstance(exc, KeyboardInterrupt):
        exc = exc.__cause__ or exc.__context__
    return exc is not None


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """SIGTERM does what Ctrl-C does: transactions are rolled back, half-written files deleted.

    In a container, process 1 would get no SIGTERM at all without a handler.
    """
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _unexpected(exc: BaseException, *, verbose: bool) -> str:
    from ssm.errors import SsmError

    if isinstance(exc, SsmError):
        return f"{exc.message} → {exc.cure}"
    if verbose:
        traceback.print_exception(exc)
    cure = "please report this" if verbose else "run it again with --verbose for the traceback"
    # Its own text may hold anything, user names too: where it happened says enough.
    frame = traceback.extract_tb(exc.__traceback__)[-1]
    where = f"in {frame.name}, {Path(frame.filename).name} line {frame.lineno}"
    return f"unexpected {type(exc).__name__}: {where} → {cure}"


app = typer.Typer(
    cls=_Commands,
    help="Exact usage accounting for EGI Notebooks: from Prometheus to signed APEL records.\n\n"
    "Exit codes: 0 done, 1 failed, 2 wrong use, 3 incomplete (gaps, messages that wait, and"
    " what is held or parked and was not reported before). Settings: environment ACCOUNTING_…"
    " or one YAML file; see docs/settings.md.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def group(name: str, about: str) -> typer.Typer:
    """A group of commands below the program."""
    commands = typer.Typer(help=about, no_args_is_help=True, rich_markup_mode=None)
    app.add_typer(commands, name=name)
    return commands


def _shown_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"notebooks-accounting {version('notebooks-accounting')}")
        raise typer.Exit


@app.callback()
def _program(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="YAML file with settings.  [env: ACCOUNTING_CONFIG]"),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log everything, and show tracebacks.")
    ] = False,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_shown_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    ctx.obj = Program(config, verbose)


def program_of(ctx: typer.Context) -> Program:
    """The program that a command belongs to."""
    program = ctx.obj
    if not isinstance(program, Program):
        raise TypeError("the program's own options come first")
    return program


@contextmanager
def opened(settings: "Settings", *, create: bool = False) -> "Iterator[Database]":
    """The database, with its tables; a missing one is made only where ``create`` says so."""
    from accounting.store.engine.database import Database

    with Database(settings.database_url) as database:
        path = database.url.database
        is_missing = database.is_sqlite and bool(path) and not Path(path or "").exists()
        if not create and (is_missing or database.revision() is None):
            raise AccountingError(
                f"the database {database.name} holds nothing yet",
                "run 'notebooks-accounting poll' first, or correct ACCOUNTING_DATABASE_URL",
            )
        database.ensure_current()
        yield database


@contextmanager
def stopped_by_signal(jobs: "Jobs") -> "Iterator[None]":
    """SIGTERM and Ctrl-C end the job after its current window or message; a second Ctrl-C at once.

    A message that was interrupted while it was sent would be sent twice.
    """

    def stop(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        jobs.stop()

    before = {one: signal.signal(one, stop) for one in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
