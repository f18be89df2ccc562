"""Whole processes, measured from outside."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import msgspec

_LAUNCHER = Path(__file__).with_name("launch.py")
_ROOT = Path(__file__).parent.parent
# As in an installed program, modules are compiled once: in the first run, which never counts.
_COMPILED = {
    "PYTHONDONTWRITEBYTECODE": "",
    "PYTHONPYCACHEPREFIX": str(_ROOT / "var" / "bench" / "compiled"),
}


class CommandFailed(Exception):
    """A measured command ended with another exit code than expected; its figures mean nothing."""


class Cost(msgspec.Struct, frozen=True):
    """What one run of a command cost; children of the command are not in it."""

    wall_seconds: float
    cpu_seconds: float
    peak_mb: float
    exit_code: int
    output: str


@dataclass(frozen=True)
class Costs:
    """Medians over several runs."""

    wall_seconds: float
    cpu_seconds: float
    peak_mb: float
    runs: int

    @classmethod
    def of(cls, costs: Sequence[Cost]) -> "Costs":
        """The medians of these runs."""
        return cls(
            median(cost.wall_seconds for cost in costs),
            median(cost.cpu_seconds for cost in costs),
            median(cost.peak_mb for cost in costs),
            len(costs),
        )


def run(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    accept: Sequence[int] = (0,),
) -> Cost:
    """Run a command once; its standard output is in the cost.

    Raises:
        CommandFailed: it ended with an exit code that is not in ``accept``.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith("ACCOUNTING_")}
    answer = subprocess.run(
        [sys.executable, "-I", "-S", str(_LAUNCHER), *command],
        env={**own, **_COMPILED, **(environment or {})},
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        check=True,
    )
    cost = msgspec.json.decode(answer.stdout, type=Cost)
    if cost.exit_code not in accept:
        raise CommandFailed(f"{' '.join(command[:4])} … ended with {cost.exit_code}")
    return cost
