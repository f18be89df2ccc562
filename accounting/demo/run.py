"""The demo itself: poll, show, sign and push, verify, compare."""

import secrets
import subprocess
import time
from collections import Counter
from contextlib import suppress
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from socket import socket

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from accounting.delivery import pusher
from accounting.delivery.outbox import Outbox
from accounting.demo import comparison, energy, gpus, homes, hours, portal, stage
from accounting.demo.stage import Stage
from accounting.errors import AccountingError
from accounting.guard.tokens import digest_of
from accounting.measure.poller import Options, Poller
from accounting.measure.promql.scope import Scope
from accounting.measure.report import Report
from accounting.measure.source.prometheus import Source
from accounting.model.energy import JOULES_PER_WH, ZONES
from accounting.server import Serving, listening, serve
from accounting.simulation.judges.repository import Repository
from accounting.simulation.stores.programs import find_program
from accounting.store.ledger import Ledger
from accounting.store.records import Records, Selection

RECORDS_PER_MESSAGE = 100
_SHOWN_RECORDS = 8
_SHOWN_USER = 8
_USUAL_PORT = 8000
_HOUR = 3600


def run(folder: Path, *, stay: bool, console: Console) -> int:
    """Show the main job on a simulated cluster; 0 if every number arrived.

    Args:
        folder: everything is written here.
        stay: leave all of it running, with the service and its pages, until interrupted.
        console: where to show it.

    Raises:
        AccountingError: a program is missing, or a number is not what it should be.
    """
    started = time.monotonic()
    with stage.built(stage.prepared(folder.absolute()), console) as scene:
        until = int(time.time())
        _poll(scene, until, console)
        _show(scene, console)
        _push(scene, console)
        repository, bodies = _receive(scene, console)
        _compare(scene, until, repository, console)
        gpus.show(scene, console)
        homes.show(scene, until, console)
        hours.show(scene, until, console)
        energy.show(scene, console)
        portal.show(scene, until, repository, bodies, console)
        console.print(
            f"[bold green]Done[/] in {time.monotonic() - started:.0f} s;"
            f" all files are in {scene.folder}"
        )
        if stay:
            _stay(scene, console)
    return 0


def _poller(scene: Stage, source: Source) -> Poller:
    scope = Scope(scene.cluster.namespace, "jupyter-.*", energy_zones=ZONES, has_volumes=True)
    return Poller(
        Ledger(scene.database),
        source,
        scope,
        stage.SITE,
        stage.RULES,
        options=Options(scrape_seconds=stage.HISTORY_SECONDS),
    )


def _poll(scene: Stage, until: int, console: Console) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[pods]} pods"),
        TimeElapsedColumn(),
    )
    with Source(scene.prometheus.url) as source, Progress(*columns, console=console) as progress:
        task = progress.add_task("Polling Prometheus", total=None, pods=0)

        def notice(report: Report) -> None:
            done, total = report.end - report.start, until - report.start
            progress.update(task, completed=done, total=total, pods=len(report.pods))

        report = _poller(scene, source).poll(until, notice=notice)
    console.print(
        f"  {report.windows} windows, {len(report.pods):,} pods;"
        f" the source was silent {len(report.gaps)} times"
    )


def _show(scene: Stage, console: Console) -> None:
    register = Records(scene.database)
    shown = Table(
        title="The latest records", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
    )
    shown.add_column("user", overflow="fold")
    for name in ("VO", "month", "status", "wall h", "CPU h", "Wh"):
        shown.add_column(
            name, justify="right" if name[-2:] in {" h", "Wh"} else "left", no_wrap=True
        )
    latest = sorted(register.find(Selection(held=False)), key=lambda record: record.created_at)
    for record in latest[-_SHOWN_RECORDS:]:
        shown.add_row(
            record.user[:_SHOWN_USER],
            record.vo.name,
            str(record.month),
            record.status.value,
            f"{record.wall_seconds / _HOUR:,.2f}",
            "?" if record.cpu_seconds is None else f"{record.cpu_seconds / _HOUR:,.2f}",
            "?" if record.joules is None else f"{record.joules / JOULES_PER_WH:,.1f}",
        )
    console.print(shown)
    flags = Counter(flag for record in register.find() for flag in record.flags)
    if flags:
        said = ", ".join(f"{count} {flag}" for flag, count in flags.most_common())
        console.print(f"  Flagged as estimated or incomplete: {said}", style="yellow")


def _push(scene: Stage, console: Console) -> None:
    delivery = _pusher(scene)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task("Signing and pushing records", total=None)

        def notice(report: pusher.Report) -> None:
            total = report.delivered + report.remaining
            progress.update(task, completed=report.delivered, total=total or None)

        report = delivery.push(notice)
    if report.error is not None:
        raise report.error
    console.print(f"  {report.records:,} records in {report.sent} messages, to {scene.sender.name}")


def _pusher(scene: Stage) -> pusher.Pusher:
    policy = pusher.Policy(records_per_message=RECORDS_PER_MESSAGE)
    return pusher.Pusher(Outbox(scene.database), scene.sender, policy)


def _receive(scene: Stage, console: Console) -> tuple[Repository, list[str]]:
    """Verify every message with the ``openssl`` program and load it as the repository would.

    Returns:
        What it holds, and the messages' bodies.
    """
    openssl = find_program("openssl")
    inbox = scene.folder / "received"
    inbox.mkdir()
    repository, bodies = Repository(), []
    for stored in scene.broker.log:
        signed = inbox / f"{int(stored.message_id):04d}.eml"
        signed.write_bytes(stored.data)
        plain = signed.with_suffix(".txt")
        _verify(openssl, scene, signed, plain)
        bodies.append(_decoded(plain.read_bytes()))
        repository.load(bodies[-1])
    console.print(f"  {repository.accepted} messages verified by openssl and loaded")
    return repository, bodies


def _verify(openssl: str, scene: Stage, signed: Path, plain: Path) -> None:
    command = [openssl, "smime", "-verify", "-in", str(signed), "-out", str(plain)]
    command += ["-CAfile", str(scene.authority.ca_file), "-purpose", "any"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own files
    if done.returncode:
        raise AccountingError(
            f"openssl does not accept the signature of {signed}: {done.stderr.strip()}",
            "this is a defect: please report it with the file",
        )


def _compare(scene: Stage, until: int, repository: Repository, console: Console) -> None:
    register = Records(scene.database)
    found = comparison.lines(
        comparison.truth(scene.cluster, until, stage.DEFAULT_VO),
        comparison.recorded(register.month_totals()),
        comparison.received(repository),
    )
    console.print("\nReally used, recorded, held by the receiver", style="bold")
    for shown in comparison.tables(found):
        console.print(shown)
    pods = sum(1 for pod in scene.cluster.counted_pods if pod.ran_by(until))
    for reason in comparison.reasons(register.find(), pods, scene.cluster.interval_seconds):
        console.print(f"  {reason}", highlight=False)
    _check(register, repository)


def _check(register: Records, repository: Repository) -> None:
    """The receiver must hold exactly what our records say."""
    sendable = register.find(Selection(held=False))
    ours = {
        (record.uid, tuple(record.month)): _numbers(record.wall_seconds, record.cpu_seconds)
        for record in sendable
    }
    theirs = {
        key: _numbers(row.integer("WallDuration"), row.integer("CpuDuration"))
        for key, row in repository.rows.items()
    }
    if ours != theirs:
        raise AccountingError(
            f"the receiver holds {len(theirs)} rows that are not our {len(ours)} records",
            "this is a defect: please report it with the demo's folder",
        )


def _numbers(wall_seconds: int, cpu_seconds: int | None) -> tuple[int, int]:
    return wall_seconds, cpu_seconds or 0


def _stay(scene: Stage, console: Console) -> None:
    """Serve the pages and the API, and go on polling and pushing, until interrupted."""
    token = secrets.token_urlsafe(24)
    file = scene.folder / "token"
    file.touch(mode=0o600)
    file.write_text(token)
    settings = stage.settings(scene, file)

    def told(serving: Serving) -> None:
        ticket = serving.doors.sessions.ticket(digest_of(token.encode()))
        console.print("\nOpen this address; it signs you in, once:", style="bold")
        console.print(f"  {serving.url}/login?ticket={ticket}", highlight=False, soft_wrap=True)
        console.print(f"To sign in again, or for the API: the token in {file}", soft_wrap=True)
        console.print(f"Prometheus is at {scene.prometheus.url}. Ctrl-C ends it all.")
        opened(serving)

    with _listening() as listener, suppress(KeyboardInterrupt):
        serve(settings, scene.database, listener, told)
    console.print("Stopped.")


def opened(_serving: Serving) -> None:
    """The service answers; for the tests to look at it, and to stop it."""


def _listening() -> socket:
    try:
        return listening("127.0.0.1", _USUAL_PORT)
    except AccountingError:  # another program listens there
        return listening("127.0.0.1", 0)


def _decoded(verified: bytes) -> str:
    """The message's body out of the verified MIME part, as the receiver unpacks it."""
    part = message_from_bytes(verified, policy=default)
    return str(part.get_content()).replace("\r\n", "\n").strip() + "\n"
