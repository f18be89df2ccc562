"""Alerts and dashboard: promtool understands them, and the service exports what they use."""

import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from accounting.telemetry.metrics import Metrics
from accounting.telemetry.usage import MonthUsage, Stored, Used

ROOT = Path(__file__).parent.parent.parent
ALERTS = ROOT / "monitoring" / "alerts.yaml"
DASHBOARD = json.loads((ROOT / "monitoring" / "dashboard.json").read_text())
PANELS: list[dict[str, Any]] = [p for p in DASHBOARD["panels"] if p["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
RULES = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]

USED_THIS_MONTH = MonthUsage(
    {("vo", "small"): Used(1, 2, 3, 4, 5, 6)}, {"vo": 1}, 1, {"vo": Stored(1, 2, 3)}
)


def exported(*, used: bool = False) -> set[str]:
    """The names of all series that a service exports from its start, or once notebooks ran."""
    metrics = Metrics("test")
    if used:
        metrics.show_usage(USED_THIS_MONTH)
    lines = metrics.render().decode().splitlines()
    return {re.split(r"[ {]", line)[0] for line in lines if not line.startswith("#")}


def promtool(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        ["promtool", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_alert_says_what_is_the_matter_and_what_to_do() -> None:
    for rule in RULES:
        assert rule["labels"]["severity"] in {"info", "warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_promtool_understands_the_dashboard_s_queries(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": _filled(query)}
        for number, query in enumerate(QUERIES)
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", "rules.yaml", folder=tmp_path)


def _filled(query: str) -> str:
    return query.replace("$__rate_interval", "5m").replace("$namespace", ".*")


def names_in(texts: Iterable[str]) -> set[str]:
    return {name for text in texts for name in re.findall(r"notebooks_accounting_\w+", text)}


def test_every_metric_of_an_alert_is_exported_from_the_start() -> None:
    assert names_in(rule["expr"] for rule in RULES) <= exported()


def test_every_metric_of_the_dashboard_is_exported() -> None:
    assert names_in(QUERIES) <= exported(used=True)


def test_a_vo_of_which_there_is_nothing_this_month_goes_from_the_metrics() -> None:
    metrics = Metrics("test")
    metrics.show_usage(MonthUsage({("old", "small"): Used(1, 2, 3, 4, 5, 6)}, {"old": 1}, 1))
    metrics.show_usage(MonthUsage({("new", "small"): Used(1, 2, 3, 4, 5, 6)}, {"new": 1}, 1))
    text = metrics.render().decode()
    assert 'vo="new"' in text
    assert 'vo="old"' not in text


def test_every_label_value_that_an_alert_looks_for_is_exported() -> None:
    text = Metrics("test").render().decode()
    for rule in RULES:
        for label, sign, value in re.findall(r'(\w+)(=~?)"([^"]+)"', rule["expr"]):
            if label == "namespace":  # of the scrape, not of the service
                continue
            for one in value.split("|") if sign == "=~" else [value]:
                assert f'{label}="{one}"' in text, rule["alert"]


def test_the_dashboard_can_be_imported_anywhere() -> None:
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    for panel in PANELS:
        assert panel["datasource"]["uid"] == "${source}"
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
    assert [v["name"] for v in DASHBOARD["templating"]["list"]] == ["source", "namespace"]


def test_the_dashboard_tells_the_figures_that_the_pages_tell() -> None:
    # Grafana's own hours and days become weeks: 1,573.6 h would be 9.4 weeks there.
    units = {panel["fieldConfig"]["defaults"].get("unit") for panel in PANELS}
    assert not units & {"h", "d", "m", "dthms"}
    memory = [query for query in QUERIES if "memory_mb_seconds" in query]
    assert memory
    assert all(query.endswith("/ 1024 / 3600") for query in memory)


def test_no_metric_has_a_label_that_could_name_a_person() -> None:
    metrics = Metrics("test")
    metrics.show_usage(USED_THIS_MONTH)
    text = metrics.render().decode()
    labels = set(re.findall(r'[{,](\w+)="', text))
    assert labels <= {
        "area",
        "cause",
        "destination",
        "flavor",
        "kind",
        "le",
        "reason",
        "result",
        "state",
        "status",
        "version",
        "vo",
    }
