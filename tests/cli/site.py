"""A site as its operator has it: a folder, an environment, and the commands."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

from accounting.simulation.world.cluster import Cluster
from tests import commands

PROGRAM = Path(sys.executable).parent / "notebooks-accounting"
HOURS = 2


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Site:
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    hidden: dict[str, str] = field(default_factory=dict)

    def _environment(self, changes: dict[str, str]) -> dict[str, str]:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), **self.hidden}
        for name, value in {**self.environment, **changes}.items():
            environment[f"ACCOUNTING_{name}"] = value
        return environment

    def seen(self, *arguments: str, columns: int = 120, results: bool = False) -> str:
        """What a terminal shows: of the error output, or of the results."""
        ours, theirs = os.openpty()
        with Path(os.devnull).open("r+b") as nothing, open(ours, "rb", buffering=0) as shown:  # noqa: PTH123 - a descriptor
            unseen = nothing.fileno()
            streams = [unseen, theirs, unseen] if results else [unseen, unseen, theirs]
            terminal = {"TERM": "xterm", "COLUMNS": str(columns)}
            forked = commands.start(
                *arguments,
                streams=streams,
                env={**self._environment({}), **terminal},
                cwd=self.folder,
            )
            os.close(theirs)
            pieces = []
            try:
                while piece := shown.read(4096):
                    pieces.append(piece)
            except OSError:  # how a terminal says that nobody writes to it any more
                pass
            forked.wait()
        return b"".join(pieces).decode()

    def run(self, *arguments: str, **changes: str) -> Result:
        environment = self._environment(changes)
        if self.hidden:  # Python reads it when it starts
            done = subprocess.run(
                [PROGRAM, *arguments],
                cwd=self.folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        else:
            done = commands.run(*arguments, cwd=self.folder, env=environment)
        return Result(done.returncode, done.stdout, done.stderr)

    def fails(self, *arguments: str, **changes: str) -> tuple[int, str]:
        result = self.run(*arguments, **changes)
        assert "Traceback" not in result.err
        errors = [line for line in result.err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, result
        assert " → " in errors[0]
        return result.code, errors[0]

    def copied(self, folder: Path) -> "Site":
        shutil.copytree(self.folder, folder / "site")
        return replace(self, folder=folder / "site")


@dataclass(frozen=True)
class Cloud:
    cluster: Cluster
    url: str


def site_at(folder: Path, url: str) -> Site:
    return Site(
        folder,
        {
            "SITE_NAME": "EXAMPLE",
            "PROMETHEUS__URL": url,
            "PROMETHEUS__NAMESPACE": "jupyterhub",
            "SSM__TRANSPORT": "dirq",
            "SSM__DIRQ_PATH": "spool",
        },
    )


def held_records(site: Site) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(site.run("records", "list", "--held", "--json").out)
    return found
