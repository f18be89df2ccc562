"""Runs in a worker's pod: ``notebooks-backup volume …``; its termination message reports."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from hub.backup.files.volume import Volume
from hub.backup.report.outcome import Outcome, State, exit_code
from hub.backup.settings import BackupSettings
from hub.backup.snapshots.repository import Repository
from hub.program.failure import Failure
from hub.program.settings import load

LAST_WORDS = Path("/dev/termination-log")  # Kubernetes keeps what is written here
_SCRATCH = Path("/scratch")

app = typer.Typer(help="Work on one mounted volume.", no_args_is_help=True, rich_markup_mode=None)

Claim = Annotated[str, typer.Option(help="The claim's name.")]
Namespace = Annotated[str, typer.Option(help="The snapshots' namespace.")]
Which = Annotated[str, typer.Option("--snapshot", help="restic's id.")]


@app.command()
def backup(ctx: typer.Context, claim: Claim, namespace: Namespace) -> None:
    """Make a snapshot."""
    settings = load(BackupSettings, ctx.obj)
    volume = _volume(settings, namespace, claim)
    _work(claim, lambda: volume.back_up(settings.include, settings.exclude))


@app.command()
def restore(
    ctx: typer.Context,
    *,
    claim: Claim,
    namespace: Namespace,
    snapshot: Which,
    path: Annotated[str, typer.Option(help="Only this path.")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files.")] = False,
) -> None:
    """Put files back."""
    volume = _volume(load(BackupSettings, ctx.obj), namespace, claim)
    _work(claim, lambda: volume.restore(snapshot, path, overwrite=overwrite))


@app.command()
def drill(
    ctx: typer.Context,
    claim: Claim,
    namespace: Namespace,
    snapshot: Which,
    scratch: Annotated[Path, typer.Option(help="Where to restore to.")] = _SCRATCH,
) -> None:
    """Restore elsewhere and compare."""
    volume = _volume(load(BackupSettings, ctx.obj), namespace, claim)
    _work(claim, lambda: volume.drill(snapshot, scratch))


def _volume(settings: BackupSettings, namespace: str, claim: str) -> Volume:
    root = settings.volumes_dir / claim
    return Volume(namespace, claim, root, Repository(settings.access))


def _work(claim: str, work: Callable[[], Outcome]) -> None:
    try:
        outcome = work()
    except Failure as failure:
        outcome = Outcome(claim, State.FAILED, str(failure))
    except OSError as exc:  # the volume is full, read-only, or broken
        said = f"the volume cannot be used: {exc.strerror} → see its size and its node"
        outcome = Outcome(claim, State.FAILED, said)
    if LAST_WORDS.exists():
        LAST_WORDS.write_text(outcome.to_json(), encoding="utf-8")
    typer.echo(outcome.to_json())
    raise typer.Exit(exit_code([outcome]))
