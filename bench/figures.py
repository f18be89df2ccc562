"""What came out: figures, the table that is printed, and the file that keeps them."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One measured value.

    Attributes:
        name: what was measured.
        value: a median where there were several runs.
        unit: of the value.
        at_most, at_least: what was promised; None where nothing was.
        note: how to read it.
    """

    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def is_met(self) -> bool | None:
        """Whether the promise is kept; None if there is none."""
        if self.at_most is not None:
            return self.value <= self.at_most
        if self.at_least is not None:
            return self.value >= self.at_least
        return None

    @property
    def promise(self) -> str:
        """What was promised, as text."""
        if self.at_most is not None:
            return f"≤ {self.at_most:g}"
        return f"≥ {self.at_least:,.0f}" if self.at_least is not None else ""


def show(title: str, figures: Sequence[Figure]) -> None:
    """Print a table."""
    table = Table("measured", "value", "unit", "promised", "", "note", title=title)
    marks = {True: "met", False: "MISSED", None: ""}
    for figure in figures:
        value = f"{figure.value:,.0f}" if figure.value >= 1000 else f"{figure.value:.3g}"
        mark = marks[figure.is_met]
        table.add_row(figure.name, value, figure.unit, figure.promise, mark, figure.note)
    Console(width=None if os.isatty(1) else 150).print(table)


def save(folder: Path, sections: Mapping[str, Sequence[Figure]], sizes: Mapping[str, int]) -> Path:
    """Write ``latest.json`` with the machine and the versions next to the figures."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "latest.json"
    content = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": _machine(),
        "sizes": dict(sizes),
        "figures": {
            title: [{**asdict(figure), "is_met": figure.is_met} for figure in figures]
            for title, figures in sections.items()
        },
    }
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _machine() -> dict[str, str | int]:
    return {
        "cores": os.cpu_count() or 0,
        "load_average": f"{os.getloadavg()[0]:.1f}",
        "system": platform.platform(),
        "python": platform.python_version(),
        "prometheus": _first_line("prometheus", "--version"),
        "curl": _first_line("curl", "--version"),
        "revision": _first_line("git", "describe", "--always", "--dirty"),
    }


def _first_line(*command: str) -> str:
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "not installed"
    return (said.stdout or said.stderr).partition("\n")[0]
