"""What the package's own programs have in common: how errors end them."""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import typer
from typer.core import TyperGroup

from hub.program.failure import Failure

# What typer turns into a message; the class has different names in its versions.
USAGE_ERROR: Any = typer.BadParameter.__mro__[-4]
Result = TypeVar("Result")


class Commands(TyperGroup):
    """Turns errors into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        if os.getpid() == 1:  # in a container: without a handler, process 1 gets no SIGTERM
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        return told(lambda: super(Commands, self).invoke(ctx))


def told(work: Callable[[], Result]) -> Result:
    """Do it; an error becomes one line and an exit code. Its own text may hold anything."""
    try:
        return work()
    except (typer.Exit, typer.Abort, USAGE_ERROR):
        raise
    except Failure as failure:
        code, said = failure.exit_code, str(failure)
    except Exception as exc:  # noqa: BLE001 - the last boundary
        while isinstance(exc, ExceptionGroup):
            exc = exc.exceptions[0]
        frame = traceback.extract_tb(exc.__traceback__)[-1]
        where = f"in {frame.name}, {Path(frame.filename).name} line {frame.lineno}"
        code, said = 1, f"unexpected {type(exc).__name__}: {where} → please report this"
    sys.stderr.write(f"error: {' '.join(said.split())}\n")
    raise typer.Exit(code)


def program(about: str) -> typer.Typer:
    """A program with commands."""
    return typer.Typer(
        cls=Commands,
        help=about,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
