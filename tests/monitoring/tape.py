"""What a program says about itself over time, and which alerts that raises, by promtool."""

import json
import math
import re
import subprocess
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.chart.helm import ROOT

STEP = 300
FILES = {
    "accounting": ROOT / "monitoring" / "alerts.yaml",
    "backup": ROOT / "chart" / "notebooks-backup" / "files" / "alerts.yaml",
    "monitoring": ROOT / "chart" / "notebooks-monitoring" / "files" / "alerts.yaml",
}
_WHERE = {"namespace": "hub", "job": "notebooks", "instance": "a:8000"}


@cache
def alerts(part: str) -> dict[str, str]:
    """A part's alerts, and their expressions."""
    groups = yaml.safe_load(FILES[part].read_text())["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


@cache
def _used(part: str) -> tuple[str, ...]:
    """The metrics that a part's alerts ask for."""
    return tuple(set(re.findall(r"notebooks_\w+", " ".join(alerts(part).values()))))


@lru_cache(maxsize=1)
def _samples(part: str, text: str) -> list[tuple[str, float]]:
    """(series, value) of what a part's alerts ask for; the same text often comes in a row."""
    used = _used(part)
    asked = "\n".join(line for line in text.splitlines() if line.startswith(used))
    found = []
    for family in text_string_to_metric_families(f"{asked}\n"):
        for sample in family.samples:
            if sample.name in used:
                labels = {**sample.labels, **_WHERE}
                shown = ",".join(f"{k}={json.dumps(v)}" for k, v in labels.items())
                found.append((f"{sample.name}{{{shown}}}", sample.value))
    return found


@dataclass(frozen=True)
class Heard:
    """Which alerts of which parts promtool was asked for, and what it said of them."""

    parts: frozenset[str] = frozenset()
    fired: frozenset[str] = frozenset()
    pending: frozenset[str] = frozenset()

    def joined(self, others: list["Heard"]) -> "Heard":
        """All of them together."""
        every = [self, *others]
        return Heard(
            frozenset().union(*(one.parts for one in every)),
            frozenset().union(*(one.fired for one in every)),
            frozenset().union(*(one.pending for one in every)),
        )


heard: list[Heard] = []
"""What was said in the test that runs now."""


def fires(*names: str) -> pytest.MarkDecorator:
    """Mark a test in which these alerts fire: `conftest` holds it to that."""
    return pytest.mark.fires(*names)


def silent(part: str) -> pytest.MarkDecorator:
    """Mark a test of a fresh install, in which no alert of a part fires, or waits to."""
    return pytest.mark.silent(part)


@dataclass
class Tape:
    """Scrapes of a program, ``STEP`` seconds apart.

    Attributes:
        part: whose alerts are asked for.
        start: Unix seconds of the first scrape; promtool's time begins there.
    """

    part: str
    start: float
    length: int = 0
    series: dict[str, dict[int, float]] = field(default_factory=dict)
    _heard: tuple[int, str] = (-1, "")
    """What promtool said, and of how long a tape."""

    def take(self, text: str) -> None:
        """Add a scrape, as the program answered it."""
        for series, value in _samples(self.part, text):
            values = self.series.setdefault(series, {})
            values[self.length] = self._shifted(series.partition("{")[0], value)
        self.length += 1

    def _shifted(self, name: str, value: float) -> float:
        """Moments count from promtool's beginning; 0 stands for none."""
        return value - self.start if name.endswith("_timestamp_seconds") and value else value

    def fired(self, folder: Path) -> set[str]:
        """The alerts that have fired at any time of the tape; files go into the folder."""
        said = self._said(folder)
        fired, pending = (
            set(re.findall(rf'expr: "{expr}\(ALERTS\{{alertname=\W*(\w+)', said))
            for expr in ("count_over_time", "max")
        )
        heard.append(Heard(frozenset({self.part}), frozenset(fired), frozenset(pending)))
        return fired

    def destinations(self, folder: Path, alert: str) -> set[str]:
        """The destinations of which an alert has fired."""
        told = re.findall(r"\{(alert[^}]*)\}", self._said(folder).replace("\\", ""))
        return {
            found[1]
            for labels in told
            if f'alertname="{alert}"' in labels
            and (found := re.search(r'destination="([^"]+)"', labels))
        }

    def _said(self, folder: Path) -> str:
        """What promtool says of alerts that it was told not to expect; it is asked once a tape."""
        length, said = self._heard
        if length != self.length:
            said = self._ask(folder)
            self._heard = self.length, said
        return said

    def _ask(self, folder: Path) -> str:
        end = f"{self.length * STEP}s"
        fired = 'count_over_time(ALERTS{{alertname="{}",alertstate="firing"}}[{}])'
        pending = 'max(ALERTS{{alertname="{}",alertstate="pending"}})'
        test = {
            "interval": f"{STEP}s",
            "input_series": [
                {"series": name, "values": self._values(values)}
                for name, values in self.series.items()
            ],
            "promql_expr_test": [
                {"expr": fired.format(name, end), "eval_time": end, "exp_samples": []}
                for name in alerts(self.part)
            ]
            + [
                {"expr": pending.format(name), "eval_time": end, "exp_samples": []}
                for name in alerts(self.part)
            ],
        }
        (folder / "alerts.yaml").write_text(FILES[self.part].read_text())
        about = {"rule_files": ["alerts.yaml"], "evaluation_interval": f"{STEP}s", "tests": [test]}
        (folder / "test.yaml").write_text(json.dumps(about))  # which is YAML, and written sooner
        done = subprocess.run(
            ["promtool", "test", "rules", "test.yaml"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        assert "(ALERTS" in said or done.returncode == 0, said
        return said

    def _values(self, values: dict[int, float]) -> str:
        shown = (values.get(n) for n in range(self.length))
        return " ".join(
            "_" if value is None else "NaN" if math.isnan(value) else f"{value:.3f}"
            for value in shown
        )
