"""The program ``notebooks-backup``.

What talks to Kubernetes is imported where it is needed: the workers, one process per volume, do
without it.
"""
# ruff: noqa: PLC0415

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hub.backup import workplace
from hub.backup.files.volume import tag_of
from hub.backup.report.outcome import FAILED, Outcome, exit_code
from hub.backup.report.status import Status
from hub.backup.settings import PREFIX, BackupSettings
from hub.backup.snapshots.repository import Repository
from hub.program.command import program
from hub.program.failure import Failure, WrongSetting
from hub.program.settings import load

if TYPE_CHECKING:
    from hub.backup.kubernetes.cluster import Cluster
    from hub.backup.rounds import Rounds

app = program(
    "Backup and restore of the users' volumes with restic.\n\n"
    f"Exit codes: 0 done, 1 failed, 2 wrong use, 3 incomplete. Settings: environment {PREFIX}…"
    " or one YAML file; see docs/backup.md."
)
app.add_typer(workplace.app, name="volume", hidden=True)

_PROGRESS_SECONDS = 60.0

Json = Annotated[bool, typer.Option("--json", help="Write JSON instead of text.")]
From = Annotated[
    str, typer.Option("--namespace", help="Namespace of the backup; its own if not given.")
]


def _moment(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not a time; for example 2026-11-01T06:00Z") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


@app.callback()
def _program(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", help=f"YAML file with settings.  [env: {PREFIX}CONFIG]"),
    ] = None,
) -> None:
    ctx.obj = config


def _settings(ctx: typer.Context) -> BackupSettings:
    return load(BackupSettings, ctx.obj)


@app.command()
def init(ctx: typer.Context) -> None:
    """Create the repository, unless it exists."""
    made = Repository(_settings(ctx).access).initialize()
    typer.echo("repository made" if made else "the repository is there")


@app.command()
def run(ctx: typer.Context, as_json: Json = False) -> None:
    """Back up all claims and their data, then forget and prune by policy."""
    settings = _settings(ctx)
    raise typer.Exit(asyncio.run(_run(settings, as_json=as_json)))


async def _run(settings: BackupSettings, *, as_json: bool) -> int:
    from hub.backup.kubernetes.cluster import connected
    from hub.backup.store import load_status, save_status

    namespace, began_at = settings.own_namespace(), time.time()
    wanted = re.compile(settings.claims)
    async with connected() as cluster:
        status = await load_status(settings, cluster, namespace)
        rounds = _rounds(settings, cluster, as_json=as_json)
        outcomes: list[Outcome] = []
        code = FAILED
        try:
            await asyncio.to_thread(rounds.repository.unlock)
            outcomes = await rounds.back_up(
                namespace, lambda c: bool(wanted.fullmatch(c.name)) and c.volume_mode != "Block"
            )
            code = exit_code(outcomes)
            await asyncio.to_thread(
                rounds.repository.forget, namespace, settings.retention.arguments()
            )
            status = await asyncio.to_thread(
                _measured, rounds.repository, namespace, status, outcomes
            )
        except Failure:
            code = FAILED
            raise
        finally:
            status = status.after_run(outcomes, code, began_at, time.time())
            await save_status(settings, cluster, namespace, status)
    _sum_up(outcomes, as_json=as_json)
    return code


def _measured(
    repository: Repository, namespace: str, status: Status, outcomes: list[Outcome]
) -> Status:
    found = repository.snapshots(namespace)
    names = {tag_of(outcome.claim) for outcome in outcomes}
    last = {tag: s.at.timestamp() for s in found for tag in s.tags if tag in names}
    # 0 for a claim without a snapshot: as if its last one were from 1970, so that alerts fire.
    oldest_at = min(last.values()) if len(last) == len(names) else 0.0
    return replace(
        status,
        oldest_at=oldest_at,
        snapshots=len(found),
        repository_bytes=repository.stored_bytes(),
    )


@app.command()
def check(
    ctx: typer.Context,
    whole: Annotated[bool, typer.Option("--all", help="Read all data, not one part.")] = False,
) -> None:
    """Check the repository's structure, and read a part of its data."""
    from hub.backup.store import load_status, save_status

    settings = _settings(ctx)
    parts = 1 if whole else settings.check_parts
    part = int(time.time() // 86400) % parts + 1

    async def checked() -> None:
        async with _state(settings) as (cluster, namespace):
            status = await load_status(settings, cluster, namespace)
            is_right = False
            try:
                await asyncio.to_thread(Repository(settings.access).check, part, parts)
                is_right = True
            finally:
                after = replace(status, check_at=time.time(), check_ok=is_right)
                await save_status(settings, cluster, namespace, after)

    asyncio.run(checked())
    typer.echo(f"no errors; part {part} of {parts} of the data was read")


@asynccontextmanager
async def _state(settings: BackupSettings) -> AsyncIterator[tuple["Cluster | None", str]]:
    """The cluster, where the status is kept in it."""
    if not settings.status_configmap:
        yield None, ""
        return
    from hub.backup.kubernetes.cluster import connected

    async with connected() as cluster:
        yield cluster, settings.own_namespace()


@app.command("list")
def list_snapshots(
    ctx: typer.Context,
    namespace: From = "",
    claim: Annotated[str, typer.Option(help="Only this claim.")] = "",
    as_json: Json = False,
) -> None:
    """List the snapshots of a namespace's claims."""
    settings = _settings(ctx)
    found = Repository(settings.access).snapshots(
        namespace or settings.own_namespace(), tag_of(claim) if claim else ""
    )
    prefix = tag_of("")
    rows = [
        {"claim": tag.removeprefix(prefix), "at": s.at.isoformat(timespec="seconds"), "id": s.id}
        for s in found
        for tag in s.tags
        if tag.startswith(prefix)
    ]
    rows.sort(key=lambda row: (row["claim"], row["at"]))
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        typer.echo(f"{row['claim']:<40} {row['at']:<27} {row['id'][:8]}")


@app.command()
def restore(
    ctx: typer.Context,
    *,
    namespace: From = "",
    everything: Annotated[bool, typer.Option("--all", help="All claims of the namespace.")] = False,
    claim: Annotated[str, typer.Option(help="Only this claim.")] = "",
    user: Annotated[str, typer.Option(help="Only this user's claims.")] = "",
    path: Annotated[
        str, typer.Option(help="Only this path, from the volume's top folder; no pattern.")
    ] = "",
    at: Annotated[
        datetime | None,
        typer.Option(parser=_moment, metavar="TIME", help="As it was then (UTC, ISO 8601)."),
    ] = None,
    to_namespace: Annotated[str | None, typer.Option(help="Restore into this namespace.")] = None,
    storage_class: Annotated[str | None, typer.Option(help="Storage class of new claims.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files of claims that are there.")
    ] = False,
    skip_data: Annotated[bool, typer.Option("--skip-data", help="Make the claims only.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = (
        False
    ),
    as_json: Json = False,
) -> None:
    """Restore claims and their data; nothing is replaced without --overwrite.

    A claim that exists is left alone, except with --overwrite, or with --path, which adds what is
    missing. Files that are not in the backup are never removed.
    """
    from hub.backup.kubernetes.cluster import connected
    from hub.backup.rounds import Wish

    if not (everything or claim or user):
        raise typer.BadParameter("say what: --all, --claim NAME or --user NAME")
    settings = _settings(ctx)
    wish = Wish(
        namespace or settings.own_namespace(),
        claim,
        user,
        path,
        at,
        to_namespace,
        storage_class,
        overwrite,
        skip_data,
        dry_run,
    )

    async def restored() -> list[Outcome]:
        async with connected() as cluster:
            return await _rounds(settings, cluster, as_json=as_json).restore(wish)

    outcomes = asyncio.run(restored())
    _sum_up(outcomes, as_json=as_json)
    raise typer.Exit(exit_code(outcomes))


@app.command()
def drill(ctx: typer.Context, as_json: Json = False) -> None:
    """Restore some claims elsewhere and compare checksums with the files as they are now."""
    from hub.backup.kubernetes.cluster import connected
    from hub.backup.store import load_status, save_status

    settings = _settings(ctx)

    async def drilled() -> list[Outcome]:
        namespace = settings.own_namespace()
        async with connected() as cluster:
            status = await load_status(settings, cluster, namespace)
            outcomes: list[Outcome] = []
            try:
                rounds = _rounds(settings, cluster, as_json=as_json)
                outcomes = await rounds.drill(namespace, settings.drill_claims, time.time())
            finally:
                is_right = bool(outcomes) and exit_code(outcomes) == 0
                after = replace(status, drill_at=time.time(), drill_ok=is_right)
                await save_status(settings, cluster, namespace, after)
            return outcomes

    outcomes = asyncio.run(drilled())
    _sum_up(outcomes, as_json=as_json)
    raise typer.Exit(exit_code(outcomes))


@app.command()
def serve(
    ctx: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port.")] = 9180,
) -> None:
    """Show the last results as metrics for Prometheus, until stopped."""
    from hub.backup import exporter

    exporter.serve(_settings(ctx), host, port)


def _rounds(settings: BackupSettings, cluster: "Cluster", *, as_json: bool) -> "Rounds":
    from hub.backup.kubernetes.worker import Workshop
    from hub.backup.rounds import Limits, Rounds

    for name in ("image", "secret_name"):
        if not getattr(settings, name):
            raise WrongSetting(f"{PREFIX}{name.upper()} is not set", "the chart sets it")
    workshop = Workshop(
        image=settings.image,
        secret_name=settings.secret_name,
        secrets_dir=str(settings.secrets_dir),
        volumes_dir=str(settings.volumes_dir),
        environment=settings.worker_environment(),
        user_id=settings.user_id,
        group_id=settings.group_id,
        resources=settings.worker_resources,
        extra=settings.worker,
        deadline_seconds=int(settings.volume_timeout),
    )
    limits = Limits(
        settings.parallel, settings.start_timeout, settings.volume_timeout, _PROGRESS_SECONDS
    )
    told = (lambda _: None) if as_json else _tell
    return Rounds(cluster, Repository(settings.access), workshop, limits, told, _tell_progress)


def _tell_progress(said: str) -> None:
    typer.echo(f"{datetime.now(UTC):%H:%M:%SZ} {said}", err=True)


def _tell(outcome: Outcome) -> None:
    typer.echo(f"{outcome.state.value:<10} {outcome.claim}: {outcome.said}")


def _sum_up(outcomes: list[Outcome], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps([asdict(outcome) for outcome in outcomes], indent=1))
        return
    files = sum(outcome.files for outcome in outcomes)
    size = sum(outcome.size_bytes for outcome in outcomes) / 1e6
    typer.echo(f"{len(outcomes)} claims, {files} files, {size:.1f} MB")


def main() -> None:
    """Run the program."""
    os.umask(0o077)
    app(prog_name="notebooks-backup")
