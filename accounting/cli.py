"""The command line.

Heavy modules are imported inside the commands that need them, so that ``--help`` and a mistyped
option answer at once.
"""
# ruff: noqa: PLC0415

import csv
import errno
import io
import json
import math
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from accounting.errors import AccountingError, SettingsError
from accounting.model import Month, Record

if TYPE_CHECKING:
    from rich.console import Console

    from accounting import collect
    from accounting.config import Settings
    from accounting.database import Database
    from accounting.prometheus import Source
    from accounting.register import Selection

DONE, FAILED, WRONG_USE, INCOMPLETE = 0, 1, 2, 3
_EARLIEST_AT, _LATEST_AT = 1_388_534_400, 253_402_300_799

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
        from accounting.telemetry import configure_logs

        settings = load(self.config)
        level = "debug" if self.verbose else settings.log.level or level
        configure_logs(level, as_json=settings.log.as_json)
        return settings


class _Commands(TyperGroup):
    """Turns errors into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, _USAGE_ERROR):
            raise
        except AccountingError as exc:
            code, said = exc.exit_code, str(exc)
        except Exception as exc:
            if isinstance(exc, OSError) and exc.errno == errno.EPIPE:
                raise  # the reader has seen enough
            code, said = FAILED, _unexpected(exc, verbose=ctx.params.get("verbose", False))
        _complain(said)
        raise typer.Exit(code)


def _unexpected(exc: Exception, *, verbose: bool) -> str:
    from ssm.errors import SsmError

    if isinstance(exc, SsmError):
        return f"{exc.message} → {exc.cure}"
    if verbose:
        traceback.print_exception(exc)
    cure = "please report this" if verbose else "run it again with --verbose for the traceback"
    first_line = str(exc).partition("\n")[0][:200]
    return f"unexpected {type(exc).__name__}: {first_line} → {cure}"


def _complain(said: str) -> None:
    typer.echo(f"error: {' '.join(said.split())}", err=True)


app = typer.Typer(
    cls=_Commands,
    help="Exact usage accounting for EGI Notebooks: from Prometheus to signed APEL records.\n\n"
    "Exit codes: 0 done, 1 failed, 2 wrong use, 3 incomplete (gaps, records held back, messages"
    " that wait). Settings: environment ACCOUNTING_… or one YAML file; see docs/settings.md.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
records_app = typer.Typer(help="Look at the records.", no_args_is_help=True, rich_markup_mode=None)
db_app = typer.Typer(
    help="Look at the ledger, and keep its database.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(records_app, name="records")
app.add_typer(db_app, name="db")


def _moment(text: str) -> int:
    """ISO 8601 (UTC if it names no zone) or Unix seconds → Unix seconds."""
    try:
        at = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise typer.BadParameter(
                f"'{text}' is not a time; for example 2026-11-01, 2026-11-01T06:00Z or 1793512800"
            ) from None
        at = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if not _EARLIEST_AT <= at <= _LATEST_AT:
        raise typer.BadParameter(f"'{text}' is not a time after 2013")
    return math.floor(at)


def _month(text: str) -> Month:
    try:
        return Month.parse(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not a month; for example 2026-11") from None


Json = Annotated[bool, typer.Option("--json", help="Write JSON instead of text.")]
MonthOption = Annotated[
    Month | None,
    typer.Option("--month", metavar="YYYY-MM", parser=_month, help="Only this month (UTC)."),
]
Limit = Annotated[int, typer.Option("--limit", min=1, help="At most that many.")]


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


def _of(ctx: typer.Context) -> Program:
    program = ctx.obj
    if not isinstance(program, Program):
        raise TypeError("the program's own options come first")
    return program


@contextmanager
def _database(settings: "Settings", *, create: bool = False) -> "Iterator[Database]":
    """The database, with its tables; a missing one is made only where ``create`` says so."""
    from accounting.database import Database

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


def _write_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))


def _console(*, err: bool = False) -> "Console":
    from rich.console import Console

    return Console(stderr=err, highlight=False)


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table for people; a name that starts with ``>`` stands for a column of numbers."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        title=title,
        title_style="bold",
        title_justify="left",
        show_header=any(name not in {"", ">"} for name in columns),
    )
    for name in columns:
        justify: Literal["left", "right"] = "right" if name.startswith(">") else "left"
        table.add_column(name.removeprefix(">"), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(escape(str(cell)) for cell in row))
    console = _console()
    if not console.is_terminal:
        console.width = 200
    console.print(table)


def _at(seconds: float | None) -> str:
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%SZ}"


@app.command()
def doctor(ctx: typer.Context, as_json: Json = False) -> None:
    """Check every precondition, and say what to do about those that are not met."""
    from accounting.doctor import State, examine, worst

    settings = _of(ctx).settings()
    findings = []
    signs = {State.OK: "[green]ok     [/]", State.WARNING: "[yellow]warning[/]"}
    console = _console()
    for finding in examine(settings):
        findings.append(finding)
        if not as_json:
            from rich.markup import escape

            sign = signs.get(finding.state, "[red]failed [/]")
            console.print(f"{sign} {escape(finding.name)}: {escape(finding.what)}", soft_wrap=True)
            if finding.cure:
                console.print(f"        → {escape(finding.cure)}", soft_wrap=True)
    if as_json:
        _write_json([asdict(finding) for finding in findings])
    raise typer.Exit(FAILED if worst(findings) is State.FAILED else DONE)


@app.command()
def poll(
    ctx: typer.Context,
    since: Annotated[
        int | None,
        typer.Option(
            parser=_moment,
            metavar="TIME",
            help="Read again from here; what is known does not change. Default: where the last"
            " poll ended, or else the oldest data.",
        ),
    ] = None,
    until: Annotated[
        int | None,
        typer.Option(
            parser=_moment,
            metavar="TIME",
            help="How far to read. Default: now, less ACCOUNTING_POLL__SETTLE.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Read usage from Prometheus, from where the last poll ended up to now.

    Times are ISO 8601 (UTC if they name no zone) or Unix seconds.
    """
    settings = _of(ctx).settings()
    now = time.time()
    if until is not None and until > now:
        raise typer.BadParameter("--until is in the future")
    end = int(now - settings.poll.settle) if until is None else until
    if since is not None and since >= end:
        raise typer.BadParameter(f"--since must be before the end, {_at(end)}")
    from accounting.schedule import poller_of, source_of

    settings.site(), settings.scope()  # before anything is made
    with source_of(settings) as source, _database(settings, create=True) as database:
        poller = poller_of(settings, database, source)
        with _progress(end) as notice:
            report = poller.poll(end, since, notice)
    _show_poll(report, source, as_json=as_json)
    raise typer.Exit(DONE if report.is_complete else INCOMPLETE)


@contextmanager
def _progress(until: int) -> "Iterator[Callable[[collect.Report], None]]":
    """A bar by covered time, where somebody looks."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    console = _console(err=True)
    quiet = not console.is_terminal
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=quiet) as progress:
        task = progress.add_task("reading", total=None)

        def notice(report: "collect.Report") -> None:
            done, total = report.end - report.start, until - report.start
            said = f"read up to {_at(report.end)}, {len(report.pods):,} pods"
            progress.update(task, completed=done, total=total, description=said)

        yield notice


def _show_poll(report: "collect.Report", source: "Source", *, as_json: bool) -> None:
    gaps = [gap for gap in report.gaps if gap.end_at is not None]
    held = Counter(reason.value for reason in report.held.values())
    rejected = {f"{r.metric}: {r.reason}": count for r, count in report.rejected.items()}
    if as_json:
        shown = {"start": report.start, "end": report.end, "windows": report.windows}
        _write_json(
            {
                **shown,
                "pods": len(report.pods),
                "gaps": [list(gap) for gap in report.gaps],
                "silent_since": report.silent_since,
                "held": held,
                "rejected": rejected,
                "complete": report.is_complete,
            }
        )
        return
    rows = [
        ("from", _at(report.start)),
        ("to", _at(report.end)),
        ("windows", report.windows),
        ("pods", f"{len(report.pods):,}"),
        *(("gap", f"{_at(gap.start_at)} to {_at(gap.end_at)}") for gap in gaps),
        *((f"held back: {reason}", f"{count:,}") for reason, count in held.items()),
        *((f"set aside: {what}", f"{count:,}") for what, count in rejected.items()),
    ]
    _table("What was read", ("", ""), rows)
    if report.silent_since is not None:
        _notice(f"{source.url} says nothing since {_at(report.silent_since)}; see 'doctor'")
    if gaps:
        _notice(f"the source was silent {len(gaps)} times; see 'db gaps'")
    if held:
        _notice("some records are held back; see 'records list --held'")
    if rejected:
        _notice("some values cannot be true and were set aside")


def _notice(said: str) -> None:
    typer.echo(f"notice: {said}", err=True)


@app.command()
def push(
    ctx: typer.Context,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Through a running service (of a later version)."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Put due records into signed messages, and deliver what waits, in order."""
    if url is not None:
        raise SettingsError(
            "--url is for a later version, whose API can push",
            "run 'notebooks-accounting push' where the database is",
        )
    settings = _of(ctx).settings()
    settings.site()
    from accounting import deliver
    from accounting.outbox import Outbox
    from accounting.register import Register
    from accounting.schedule import sender_of

    sender = sender_of(settings)
    with _database(settings) as database:
        most = settings.ssm.records_per_message
        report = deliver.push(Outbox(database), sender, most, time.time)
        held = {reason.value: count for reason, count in Register(database).held().items()}
    done = {"built": report.built, "records": report.records, "left_out": report.left_out,
            "sent": report.sent, "pending": report.pending}  # fmt: skip
    if as_json:
        failure = report.error and {"error": report.error.message, "cure": report.error.cure}
        _write_json({"destination": sender.name, **done, "held": held, "error": failure})
    else:
        _table(f"Pushed to {sender.name}", ("", ">"), [(k.replace("_", " "), v)
                                                       for k, v in done.items()])  # fmt: skip
    for reason, count in held.items():
        _notice(f"{count:,} records are held back: {reason}; see 'records list --held'")
    if report.left_out:
        _notice(f"{report.left_out:,} records have text that this destination cannot carry")
    if report.error is not None:
        _complain(str(report.error))
        raise typer.Exit(report.error.exit_code)
    raise typer.Exit(DONE if report.is_complete and not held else INCOMPLETE)


@app.command()
def serve(
    ctx: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for a free one.")] = 8000,
) -> None:
    """Poll every so often, and answer /healthz, /readyz and /metrics, until stopped."""
    import threading

    import structlog
    import uvicorn

    from accounting.api import Service, create_app, is_loopback
    from accounting.config import read_secret
    from accounting.schedule import PollLoop, poller_of, source_of
    from accounting.telemetry import Metrics

    settings = _of(ctx).settings("info")
    if settings.api.token_file is not None:
        read_secret(settings.api.token_file, "api.token_file")
    elif not is_loopback(host):
        raise SettingsError(
            f"to listen on {host}, which others can reach, ACCOUNTING_API__TOKEN_FILE is needed",
            "for example ACCOUNTING_API__TOKEN_FILE=/etc/notebooks-accounting/token",
        )
    settings.site(), settings.scope()
    with ExitStack() as stack:
        listener = stack.enter_context(_listening(host, port))
        database = stack.enter_context(_database(settings, create=True))
        source = stack.enter_context(source_of(settings))
        metrics = Metrics(version("notebooks-accounting"))
        loop = PollLoop(
            poller_of(settings, database, source),
            interval_seconds=settings.poll.interval,
            settle_seconds=settings.poll.settle,
            metrics=metrics,
        )
        web = create_app(Service(settings, database, metrics, loop))
        server = uvicorn.Server(uvicorn.Config(web, log_config=None, access_log=False))
        polling = threading.Thread(target=loop.run, name="poll loop")
        polling.start()
        try:
            where = listener.getsockname()
            structlog.get_logger(__name__).info("serving", host=where[0], port=where[1])
            server.run([listener])
        finally:
            loop.stop()
            polling.join()


def _listening(host: str, port: int) -> Any:
    import socket

    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as exc:
        raise AccountingError(
            f"cannot listen on {host} port {port}: {str(exc.strerror).partition(' (')[0]}",
            "choose others with --host and --port, or stop what listens there",
        ) from exc


class Format(StrEnum):
    """How records are exported."""

    APEL = "apel"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


class StatusOption(StrEnum):
    """APEL's states of a notebook."""

    STARTED = "started"
    COMPLETED = "completed"


def _flat(record: Record) -> dict[str, Any]:
    """A record as one level of names and values."""
    flat = asdict(record)
    vo = flat.pop("vo")
    return {
        **flat,
        "month": str(record.month),
        "status": record.status.value,
        "held": record.held.value,
        "flags": list(record.flags),
        "vo": vo["name"],
        "fqan": vo["fqan"],
        "vo_rule": vo["rule"],
        "vo_source": vo["source"],
    }


def _found(settings: "Settings", selection: "Selection") -> Iterator[Record]:
    from accounting.register import Register

    with _database(settings) as database:
        yield from Register(database).find(selection)


@records_app.command("list")
def records_list(
    ctx: typer.Context,
    *,
    month: MonthOption = None,
    user: Annotated[str, typer.Option(help="Only this user's.")] = "",
    vo: Annotated[str, typer.Option(help="Only this VO's.")] = "",
    status: Annotated[StatusOption | None, typer.Option(help="Only this state.")] = None,
    held: Annotated[
        bool | None, typer.Option("--held/--sendable", help="Only those held back, or the others.")
    ] = None,
    limit: Limit = 100,
    as_json: Json = False,
) -> None:
    """List records: one per notebook and month."""
    settings = _of(ctx).settings()
    from accounting.register import Selection

    chosen = Selection(
        month=month,
        user=user,
        vo=vo,
        status=status.value if status else "",
        held=held,
        limit=limit + 1,
    )
    found = list(_found(settings, chosen))
    if as_json:
        _write_json([_flat(record) for record in found[:limit]])
    else:
        _table(
            "Records",
            ("pod", "month", "user", "VO", "status", ">wall s", ">CPU s", ">CPUs", ">MB", "notes"),
            (
                (
                    record.uid,
                    record.month,
                    record.user,
                    record.vo.name,
                    record.status.value,
                    f"{record.wall_seconds:,}",
                    "unknown" if record.cpu_seconds is None else f"{record.cpu_seconds:,}",
                    "unknown" if record.cpu_count is None else f"{record.cpu_count:g}",
                    "unknown" if record.memory_mb is None else f"{record.memory_mb:,}",
                    _remarks(record),
                )
                for record in found[:limit]
            ),
        )
    if len(found) > limit:
        _notice(f"there are more than {limit}; see --limit and the other options")


def _remarks(record: Record) -> str:
    held = f"HELD: {record.held.value} {record.problem}".strip() if record.held else ""
    return "; ".join(part for part in (held, *record.flags) if part)


@records_app.command("show")
def records_show(
    ctx: typer.Context,
    uid: Annotated[str, typer.Argument(help="The pod's uid, which is the VMUUID.")],
    month: MonthOption = None,
    as_json: Json = False,
) -> None:
    """Show all that is recorded of one notebook."""
    settings = _of(ctx).settings()
    from accounting.register import Selection

    found = [_flat(record) for record in _found(settings, Selection(month=month, uid=uid))]
    if not found:
        raise AccountingError(
            f"there is no record of '{uid}'", "see 'notebooks-accounting records list'"
        )
    if as_json:
        _write_json(found)
        return
    for flat in found:
        rows = [(key, ", ".join(v) if isinstance(v, list) else v) for key, v in flat.items()
                if v is not None and v not in ("", [])]  # fmt: skip
        _table(f"{uid} in {flat['month']}", ("", ""), rows)


@records_app.command("export")
def records_export(
    ctx: typer.Context,
    kind: Annotated[Format, typer.Option("--format", help="How to write them.")] = Format.APEL,
    month: MonthOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; default: stdout.")
    ] = None,
) -> None:
    """Write records to a file: as APEL text those that go out, else all."""
    from accounting.register import Selection

    if kind is Format.PARQUET and output is None:
        raise typer.BadParameter("--format parquet needs --output")
    settings = _of(ctx).settings()
    only = False if kind is Format.APEL else None
    found = _found(settings, Selection(month=month, held=only))
    if kind is Format.PARQUET and output is not None:
        _write_parquet(found, output)
        return
    writers = {Format.APEL: _write_apel, Format.CSV: _write_csv, Format.JSON: _write_lines}
    if output is None:
        writers[kind](found, sys.stdout)
        return
    with _replacing(output) as path, path.open("w", encoding="utf-8", newline="") as file:
        writers[kind](found, file)


@contextmanager
def _replacing(output: Path) -> Iterator[Path]:
    """A file beside ``output`` that takes its place when all of it is written."""
    partial = output.with_name(f".{output.name}.partial")
    try:
        yield partial
        partial.replace(output)
    except OSError as exc:
        raise AccountingError(
            f"{output} cannot be written: {exc.strerror}", "name another file with --output"
        ) from exc
    finally:
        partial.unlink(missing_ok=True)


def _write_apel(found: Iterable[Record], file: IO[str]) -> None:
    from accounting import apel

    file.write(apel.message(()))
    for record in found:
        file.write(apel.text(record))


def _write_csv(found: Iterable[Record], file: IO[str]) -> None:
    writer: Any = None
    for record in found:
        flat = {**_flat(record), "flags": "; ".join(record.flags)}
        if writer is None:
            writer = csv.DictWriter(file, flat, lineterminator="\n")
            writer.writeheader()
        writer.writerow(flat)


def _write_lines(found: Iterable[Record], file: IO[str]) -> None:
    """One JSON array, with a record per line."""
    before = "[\n"
    for record in found:
        file.write(before + json.dumps(_flat(record), ensure_ascii=False))
        before = ",\n"
    file.write("\n]\n" if before != "[\n" else "[]\n")


def _write_parquet(found: Iterable[Record], output: Path) -> None:
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as exc:
        raise AccountingError(
            "--format parquet needs pyarrow, which is not installed",
            "run 'pip install pyarrow', or choose --format csv",
        ) from exc
    rows = [_flat(record) for record in found]
    with _replacing(output) as path:
        parquet.write_table(arrow.Table.from_pylist(rows), path)


@records_app.command("summary")
def records_summary(ctx: typer.Context, month: MonthOption = None, as_json: Json = False) -> None:
    """Add up what was used within each month by each VO."""
    settings = _of(ctx).settings()
    from accounting.register import Register

    with _database(settings) as database:
        totals = sorted(Register(database).month_totals().items())
    rows = [
        {
            "month": str(of),
            "vo": vo,
            "pods": pods,
            "wall_seconds": wall,
            "cpu_seconds": cpu,
        }
        for (of, vo), (pods, wall, cpu) in totals
        if month is None or of == month
    ]
    if as_json:
        _write_json(rows)
        return
    columns = ("month", "VO", ">pods", ">wall h", ">CPU h")
    _table("Used within the month", columns, map(_hours, rows))


def _hours(row: Mapping[str, Any]) -> tuple[str, ...]:
    wall, cpu = row["wall_seconds"] / 3600, row["cpu_seconds"] / 3600
    return row["month"], row["vo"] or "(held)", f"{row['pods']:,}", f"{wall:,.2f}", f"{cpu:,.2f}"


@db_app.command("upgrade")
def db_upgrade(ctx: typer.Context) -> None:
    """Bring the database's tables to this version; make them if there are none."""
    settings = _of(ctx).settings()
    from accounting.database import Database

    with Database(settings.database_url) as database:
        database.upgrade()
        typer.echo(f"{database.name} is of version {database.revision()}")


@db_app.command("status")
def db_status(ctx: typer.Context, as_json: Json = False) -> None:
    """Show how far the ledger has come, and what waits."""
    settings = _of(ctx).settings()
    from accounting.ledger import Ledger
    from accounting.outbox import Outbox
    from accounting.register import Register

    with _database(settings) as database:
        register = Register(database)
        progress, outbox = Ledger(database).progress(), Outbox(database)
        status: dict[str, Any] = {
            "database": database.name,
            "version": database.revision(),
            "read_until": progress and progress.watermark,
            "records": register.count(),
            "due": outbox.due_count(),
            "held": {reason.value: count for reason, count in register.held().items()},
            "messages": {state.value: count for state, count in outbox.counts().items()},
            "oldest_pending_at": outbox.oldest_pending_at(),
            "last_sent_at": outbox.last_sent_at(),
        }
    if as_json:
        _write_json(status)
        return
    times = ("read_until", "oldest_pending_at", "last_sent_at")
    _table("The ledger", ("", ""), ((key.replace("_", " "), _worded(value, time=key in times))
                                    for key, value in status.items()))  # fmt: skip


def _worded(value: Any, *, time: bool) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{count:,} {name}" for name, count in value.items()) or "none"
    if time:
        return _at(value) or "never"
    return str(value)


@db_app.command("windows")
def db_windows(ctx: typer.Context, limit: Limit = 100, as_json: Json = False) -> None:
    """List the windows that were read, the latest first."""
    settings = _of(ctx).settings()
    from accounting.ledger import Ledger

    with _database(settings) as database:
        found = Ledger(database).windows(limit)
    if as_json:
        _write_json(found)
        return
    columns = ("from", "to", "source", ">pods", ">set aside", "read at")
    _table(
        "Windows",
        columns,
        (
            (
                _at(window["start"]),
                _at(window["end"]),
                "spoke" if window["spoke"] else "no sample",
                f"{window['pods']:,}",
                f"{window['rejected']:,}",
                _at(window["polled_at"]),
            )
            for window in found
        ),
    )


@db_app.command("gaps")
def db_gaps(ctx: typer.Context, as_json: Json = False) -> None:
    """List when the source was silent."""
    settings = _of(ctx).settings()
    from accounting.ledger import Ledger

    with _database(settings) as database:
        found = Ledger(database).gaps()
    if as_json:
        _write_json([{"start_at": gap.start_at, "end_at": gap.end_at} for gap in found])
        return
    _table(
        "Gaps",
        ("from", "to", ">minutes"),
        (
            (
                _at(gap.start_at),
                _at(gap.end_at) or "still silent",
                "" if gap.end_at is None else f"{(gap.end_at - gap.start_at) / 60:,.1f}",
            )
            for gap in found
        ),
    )


@db_app.command("erase-user")
def db_erase_user(
    ctx: typer.Context,
    user: Annotated[str, typer.Argument(help="The user's name, exactly as records have it.")],
    replacement: Annotated[str, typer.Option(help="What stands there instead.")] = "erased",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Replace a user's name everywhere here; totals stay, and nothing is sent again."""
    settings = _of(ctx).settings()
    from accounting.erasure import erase_user

    if not user:
        raise typer.BadParameter("an empty name is nobody's")
    with _database(settings) as database:
        if not yes:
            typer.confirm("The name cannot be brought back. Replace it?", abort=True, err=True)
        count = erase_user(database, user, replacement)
    typer.echo(f"replaced in {count:,} notebooks")
    if not count:
        raise AccountingError(
            "no notebook is of a user with this name", "give it exactly as 'records list' shows it"
        )


@app.command()
def demo(
    ctx: typer.Context,
    folder: Annotated[
        Path, typer.Option(help="Where everything is written; emptied if it is of a demo.")
    ] = Path("demo"),
    serve: Annotated[
        bool, typer.Option("--serve", help="Leave it running, and go on polling.")
    ] = False,
) -> None:
    """Show the whole way of the numbers on a simulated cluster."""
    from accounting.demo.run import run
    from accounting.telemetry import configure_logs

    configure_logs("debug" if _of(ctx).verbose else "warning", as_json=False)
    raise typer.Exit(run(folder, serve=serve, console=_console()))


def main() -> None:
    """Run the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # user names are of any script
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="notebooks-accounting")
