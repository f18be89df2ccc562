"""The pages on monitoring and backup: their commands, values, metrics, alerts and fragment."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from accounting.config import Settings
from hub.backup.report.status import Status
from hub.backup.report.status import metrics as backup_metrics
from hub.monitor.history import History
from hub.monitor.metrics import rendered
from hub.monitor.result import Run, State, verdict
from tests.chart import helm, manifests, pages
from tests.chart.helm import CHARTS, ROOT, find
from tests.chart.test_docs_charts import Desk
from tests.kubernetes.standin import KubernetesStandin

NAMES = ("monitoring.md", "backup.md")
PAGES = {name: pages.read(name) for name in NAMES}
TEXTS = {name: (ROOT / "docs" / name).read_text() for name in NAMES}
OWN = ("notebooks-backup", "notebooks-monitor", "notebooks-status")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("operator")
    (folder / "chart").symlink_to(CHARTS)
    for name in ("ssh-privatekey", "known_hosts"):
        (folder / name).write_text("made up")
    for page in PAGES.values():
        pages.write(page, folder)
    with KubernetesStandin(folder / "cluster", namespaces=("jupyterhub",)) as cluster:
        yield Desk(folder, cluster)


def test_the_pages_can_be_followed(desk: Desk) -> None:
    typed = [command for page in PAGES.values() for command in page.commands]
    assert len(typed) > 15
    for command in typed:
        words = shlex.split(command)
        if words[0] in OWN:
            exists(words)
        elif "logs" in words:
            desk.shell(command.replace(" logs ", " get jobs ").replace(" --tail=-1", ""))
        else:
            desk.shell(command)
    token = desk.cluster.get("secrets", "backup-repository", "jupyterhub")["data"]
    assert set(token) == {"password", "ssh-privatekey", "known_hosts"}
    jobs = [job for job in desk.cluster.all("jobs", "rescue") if "restore" in str(job)]
    assert len(jobs) == 1
    assert desk.cluster.all("cronjobs", "rescue") == []


def exists(words: list[str]) -> None:
    """The program has this command and these options."""
    program = Path(sys.executable).with_name(words[0])
    command = [word for word in words[1:2] if not word.startswith("-")]
    done = subprocess.run(
        [program, *command, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (words, done.stderr)
    for option in words[1:]:
        assert not option.startswith("--") or f"{option} " in done.stdout, (words, done.stdout)


@pytest.mark.parametrize("name", NAMES)
def test_what_the_text_names_in_passing_is_there(name: str) -> None:
    commands = re.findall(r"`(notebooks-(?:backup|monitor|status) [a-z -]+)`", TEXTS[name])
    for command in commands:
        exists(shlex.split(command))
    variables = set(re.findall(r"`(NOTEBOOKS_[A-Z_]+)[`=]", TEXTS[name]))
    table = set(re.findall(r"^\| `(NOTEBOOKS_[A-Z_]+)` \|", TEXTS[name], re.MULTILINE))
    assert {v for v in variables - table if not v.endswith("_CONFIG")} == set()


@pytest.mark.parametrize(
    "file",
    [f for page in PAGES.values() for f in page.files if f.chart],
    ids=lambda file: file.name,
)
def test_the_values_make_manifests_that_kubernetes_takes(desk: Desk, file: pages.File) -> None:
    given = [desk.folder / name for name in (file.over, file.name) if name]
    made = helm.render(CHARTS / file.chart, *given, namespace="jupyterhub")
    assert [fault for m in made for fault in manifests.faults(m, "1.37")] == []


def test_the_hubs_side_is_the_same_on_the_page_in_the_fragment_and_in_the_chart() -> None:
    (block,) = re.findall(r"```python\n(\"\"\".*?)\n```", TEXTS["monitoring.md"], re.DOTALL)
    fragment = (ROOT / "docs" / "hub" / "monitoring.py").read_text()
    plain = re.sub(r"  # noqa: F821.*|# noqa: INP001.*\n", "", fragment)
    assert block == plain.rstrip("\n")
    (file,) = (file for file in PAGES["monitoring.md"].files if file.name == "hub.yaml")
    shown = yaml.safe_load(file.text)["hub"]
    values = yaml.safe_load((CHARTS / "egi-notebooks" / "values.yaml").read_text())
    users = values["jupyterhub"]["hub"]["loadRoles"]["user"]
    chart = yaml.safe_load((CHARTS / "notebooks-monitoring" / "values.yaml").read_text())
    hub = chart["forHub"]
    assert shown["services"]["monitoring"] == hub["services"]["monitoring"]
    for role in ("monitoring", "monitored"):
        assert shown["loadRoles"][role] == hub["loadRoles"][role]
    assert set(shown["loadRoles"]["user"]["scopes"]) <= set(users["scopes"])
    scopes = re.findall(r"^\| `(\S+!user=\S+)` \|", TEXTS["monitoring.md"], re.MULTILINE)
    assert scopes == hub["loadRoles"]["monitoring"]["scopes"]


def test_the_service_is_where_the_hub_looks_for_it(desk: Desk) -> None:
    made = helm.render(
        CHARTS / "notebooks-monitoring", desk.folder / "monitoring.yaml", namespace="jupyterhub"
    )
    service = find(made, "Service")
    (port,) = service["spec"]["ports"]
    assert f"http://{service['metadata']['name']}:{port['port']}" in TEXTS["monitoring.md"]


@pytest.mark.parametrize("name", NAMES)
def test_every_metric_and_alert_is_on_its_page(name: str, tmp_path: Path) -> None:
    run = Run("notebook", 1.0, State.OK, "", (("start", 1.0),))
    known = [verdict("notebook", run, 2.0, 10)]
    shown = {
        "monitoring.md": lambda: rendered(known, History(tmp_path / "monitor.db", 1)),
        "backup.md": lambda: backup_metrics(Status()),
    }[name]().decode()
    metrics = set(re.findall(r"^# TYPE (\w+)", shown, re.MULTILINE))
    assert set(re.findall(r"`(notebooks_(?:monitor|backup)_\w+)`", TEXTS[name])) == metrics
    chart = CHARTS / f"notebooks-{name.removesuffix('.md')}"
    alerts = re.findall(r"alert: (\w+)", (chart / "files" / "alerts.yaml").read_text())
    assert set(re.findall(r"`(Notebooks\w+)`", TEXTS[name])) == set(alerts)


def test_what_alerts_and_errors_refer_to_is_a_heading_of_the_page() -> None:
    texts = [p.read_text() for p in (ROOT / "hub" / "backup").glob("*.py")]
    texts.append((CHARTS / "notebooks-backup" / "files" / "alerts.yaml").read_text())
    named = {name for text in texts for name in re.findall(r"'([A-Z][^']+)' in docs/backup", text)}
    assert named
    for name in named:
        assert f"### {name}\n" in TEXTS["backup.md"]


def test_accounting_is_told_the_name_that_the_monitor_has() -> None:
    values = yaml.safe_load((CHARTS / "egi-notebooks" / "values.yaml").read_text())
    users = values["notebooks-accounting"]["vo"]["excludedUsers"]
    (told,) = re.findall(r"ACCOUNTING_VO__EXCLUDED_USERS=(\S+)", TEXTS["monitoring.md"])
    assert Settings.model_validate({"vo": {"excluded_users": told}}).vo.excluded_users == set(users)
