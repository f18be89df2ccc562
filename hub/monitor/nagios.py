"""The program ``notebooks-status``: what the monitor knows, for ARGO and Nagios."""

import re
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import httpx
import typer

from hub.monitor.result import State, shown_age
from hub.program.command import USAGE_ERROR
from hub.program.failure import WrongSetting
from hub.program.settings import read_secret
from notebooks_settings.proxies import proxy_of

_OK = 200
_UNSAFE = re.compile(r"[|\r\n]")  # they end the text, as Nagios reads it

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def status(
    url: Annotated[
        str,
        typer.Option(
            "--url",
            "-u",
            help="The monitor's address, for example"
            " https://notebooks.example.org/services/monitoring.",
        ),
    ],
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="File with a token.")
    ] = None,
    check: Annotated[str, typer.Option("--check", help="Only this check.")] = "",
    timeout: Annotated[
        float, typer.Option("--timeout", "-t", min=0.1, help="Longest wait, seconds.")
    ] = 15.0,
) -> None:
    """Tell whether notebooks can be started: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN."""
    try:
        headers = {}
        if token_file:
            headers["Authorization"] = f"Bearer {read_secret(token_file, '--token-file')}"
        where = url.rstrip("/").removesuffix("/status.json") + "/status.json"
        answer = httpx.get(
            where, headers=headers, timeout=timeout, proxy=proxy_of(where), trust_env=False
        )
    except WrongSetting as exc:
        _end(State.UNKNOWN, str(exc))
    except httpx.InvalidURL:
        _end(State.UNKNOWN, "--url is no address")
    except httpx.HTTPError as exc:
        _end(State.UNKNOWN, f"the monitor does not answer ({type(exc).__name__})")
    if answer.status_code != _OK:
        said = {401: ": give --token-file", 403: ": it may not look"}
        _end(
            State.UNKNOWN,
            f"the monitor answered {answer.status_code}" + said.get(answer.status_code, ""),
        )
    try:
        _tell(answer.json(), check)
    except (ValueError, KeyError, TypeError, AttributeError):
        _end(State.UNKNOWN, "the answer is not the monitor's: see --url")


def _tell(document: dict[str, Any], check: str) -> NoReturn:
    checks = document["checks"]
    state, said = document["state"], document["text"]
    if check:
        checks = [found for found in checks if found["check"] == check]
        if not checks:
            _end(State.UNKNOWN, f"there is no check {check}")
        state, said = checks[0]["state"], checks[0]["text"]
    ages = [found["age_seconds"] for found in checks if found["age_seconds"] is not None]
    age = f" ({shown_age(max(ages))} ago)" if ages else ""
    figures = [
        f"'{found['check']} {name}'={seconds}s"
        for found in checks
        for name, seconds in found["steps_seconds"].items()
    ]
    figures += [f"age={max(ages)}s"] if ages else []
    _end(State[state], said + age, " ".join(figures))


def _end(state: State, said: str, figures: str = "") -> NoReturn:
    tail = f" | {figures}" if figures else ""
    sys.stdout.write(f"NOTEBOOKS {state.name} - {_UNSAFE.sub(' ', said)}{tail}\n")
    raise typer.Exit(int(state))


def main() -> None:
    """Run the program; wrong use is UNKNOWN, as its usual exit code would be CRITICAL."""
    try:
        code = app(prog_name="notebooks-status", standalone_mode=False)
    except USAGE_ERROR as exc:
        exc.show()
        code = State.UNKNOWN
    sys.exit(int(code or 0))
