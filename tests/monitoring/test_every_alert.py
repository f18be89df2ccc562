"""Each alert of every chart fires in some test, and is silent in that of a fresh install."""

import re
from collections.abc import Iterator
from types import ModuleType

import pytest
import yaml
from _pytest.mark import ParameterSet

from tests.chart.helm import CHARTS, ROOT
from tests.monitoring import test_accounting_alerts, test_hub_alerts
from tests.monitoring.tape import FILES, alerts

MODULES = (test_accounting_alerts, test_hub_alerts)
RULES = sorted(CHARTS.glob("*/files/alerts.yaml"))


def marks(module: ModuleType) -> Iterator[pytest.Mark | pytest.MarkDecorator]:
    """The marks of a module's tests, and of their cases."""
    for name, test in vars(module).items():
        for mark in getattr(test, "pytestmark", []) if name.startswith("test_") else []:
            yield mark
            cases = mark.args[1] if mark.name == "parametrize" else []
            for case in cases:
                yield from case.marks if isinstance(case, ParameterSet) else []


def claimed(name: str) -> set[str]:
    found = (mark for module in MODULES for mark in marks(module) if mark.name == name)
    return {argument for mark in found for argument in mark.args}


def test_every_alert_has_a_test_in_which_it_fires() -> None:
    """`conftest` holds the tests to what they claim."""
    groups = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
    names = {rule["alert"] for group in groups for rule in group["rules"]}
    assert len(names) > 20
    assert claimed("fires") == names


def test_every_alert_is_silent_on_a_fresh_install() -> None:
    """One test for all alerts of a part."""
    assert {f"notebooks-{part}" for part in claimed("silent")} == {f.parts[-3] for f in RULES}
    for part, file in FILES.items():
        chart = yaml.safe_load((CHARTS / f"notebooks-{part}" / "files" / "alerts.yaml").read_text())
        assert yaml.safe_load(file.read_text()) == chart
        assert alerts(part)


def test_no_chart_has_alerts_elsewhere() -> None:
    files = [f for f in CHARTS.rglob("*") if f.is_file() and f not in RULES]
    found = [f for f in files if re.search(r"^\s*- alert:", f.read_text(), re.MULTILINE)]
    assert [str(f.relative_to(ROOT)) for f in found] == []
