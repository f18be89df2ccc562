"""The chart egi-notebooks: its parts fit together, and each can be left out."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from traitlets.config import Config

from tests.chart import helm, manifests
from tests.chart.helm import ROOT, find, refusal, render
from tests.chart.umbrella import CHART, assembled, schema, values_of

CASES = sorted(CHART.glob("ci/*-values.yaml"))
PRODUCTION = CHART / "ci" / "production-values.yaml"
BESIDE = CHART / "ci" / "beside-values.yaml"
PARTS = ("jupyterhub", "prometheus", "notebooks-accounting")


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return assembled(tmp_path_factory.mktemp("umbrella"))


@pytest.fixture(scope="module")
def production(chart: Path) -> list[helm.Manifest]:
    return render(chart, PRODUCTION)


@pytest.fixture
def hub(production: list[helm.Manifest]) -> dict[str, Any]:
    """The values of Zero to JupyterHub in production."""
    return values_of(production, "jupyterhub")


def own(made: list[helm.Manifest]) -> list[helm.Manifest]:
    """What the charts of this project make."""
    return [m for m in made if not m["metadata"]["name"].startswith("values-of-")]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_case_makes_manifests_that_kubernetes_takes_and_confined_pods(
    chart: Path, case: Path
) -> None:
    assert helm.run("lint", "--strict", chart, "--values", case).returncode == 0
    made = own(render(chart, case))
    found = {v: [f for m in made for f in manifests.faults(m, v)] for v in manifests.VERSIONS}
    assert {version: faults for version, faults in found.items() if faults} == {}
    pods = manifests.pods(made)
    assert {
        name: faults for name, pod in pods.items() if (faults := manifests.unconfined(pod))
    } == {}


@pytest.mark.parametrize("case", [None, *CASES], ids=lambda case: case.stem if case else "values")
def test_the_values_of_the_hub_are_those_of_todays_zero_to_jupyterhub(case: Path | None) -> None:
    values = yaml.safe_load((case or CHART / "values.yaml").read_text())["jupyterhub"]
    jsonschema.Draft7Validator(schema()).validate(values)


def test_helm_itself_refuses_a_key_that_zero_to_jupyterhub_does_not_know(chart: Path) -> None:
    said = refusal(chart, PRODUCTION, settings=("jupyterhub.auth.type=custom",))
    assert "additional properties 'auth' not allowed" in said


@pytest.mark.parametrize("part", PARTS)
def test_a_part_can_be_left_out(chart: Path, part: str) -> None:
    given = (f"{part}.enabled=false", "notebooks-accounting.prometheus.url=http://thanos:9090")
    names = {m["metadata"]["name"] for m in render(chart, PRODUCTION, settings=given)}
    for other in PARTS:
        there = {f"values-of-{other}", other} & names
        assert bool(there) is (other != part), other


def test_beside_a_hub_and_a_prometheus_only_accounting_is_installed(chart: Path) -> None:
    made = render(chart, BESIDE)
    assert {m["metadata"]["labels"]["app.kubernetes.io/name"] for m in made} == {
        "notebooks-accounting"
    }


def test_accounting_finds_the_prometheus_and_the_hub_finds_accounting(
    production: list[helm.Manifest], hub: dict[str, Any]
) -> None:
    server = values_of(production, "prometheus")["server"]["fullnameOverride"]
    settings = find(production, "ConfigMap", "notebooks-accounting")["data"]["settings.yaml"]
    assert yaml.safe_load(settings)["prometheus"]["url"] == f"http://{server}"
    service = find(production, "Service")
    address = f"http://{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
    assert hub["hub"]["services"]["accounting"]["url"] == address


def test_accounting_takes_its_hub_token_from_where_zero_to_jupyterhub_keeps_it(
    production: list[helm.Manifest], hub: dict[str, Any]
) -> None:
    pod = manifests.pods(production)["Deployment notebooks-accounting"]
    (secrets,) = (v["projected"]["sources"] for v in pod["volumes"] if v["name"] == "secrets")
    sources = {s["secret"]["name"]: s["secret"]["items"][0]["key"] for s in secrets}
    assert sources["hub"] == "hub.services.accounting.apiToken"
    assert "apiToken" not in hub["hub"]["services"]["accounting"], "the chart generates it"


def test_kube_state_metrics_shows_what_the_doctor_asks_for(
    production: list[helm.Manifest],
) -> None:
    from accounting.doctor import ALLOWLIST  # noqa: PLC0415 - slow, and only used here

    (allowed,) = values_of(production, "prometheus")["kube-state-metrics"][
        "metricAnnotationsAllowList"
    ]
    assert f"--metric-annotations-allowlist={allowed}" == ALLOWLIST


def test_no_service_is_an_admin_and_each_role_is_of_a_service(hub: dict[str, Any]) -> None:
    services = hub["hub"]["services"]
    assert not any("admin" in about for about in services.values())
    roles = hub["hub"]["loadRoles"]
    assert {name for role in roles.values() for name in role.get("services", [])} <= set(services)
    scopes = [s for role in roles.values() if "services" in role for s in role["scopes"]]
    assert scopes
    assert all(scope.endswith("!user=monitoring") for scope in scopes)
    reached = {s.partition("=")[2] for s in roles["user"]["scopes"] if "!service=" in s}
    assert reached == set(services)


def test_the_hubs_own_configuration_can_be_run(hub: dict[str, Any]) -> None:
    config = Config()
    for text in hub["hub"]["extraConfig"].values():
        exec(text, {"c": config})  # noqa: S102 - as Zero to JupyterHub does
    (templates,) = config.JupyterHub.template_paths
    assert (Path(templates) / "page.html").exists()
    assert Path(config.JupyterHub.logo_file).exists()
    used = "".join(file.read_text() for file in Path(templates).glob("*.html"))
    assert all(name in used for name in hub["hub"]["templateVars"])


def test_the_samples_for_the_hub_and_for_the_chart_say_the_same_of_the_monitoring() -> None:
    sample = ROOT / "docs" / "hub" / "monitoring.py"
    values = yaml.safe_load((CHART / "values.yaml").read_text())["jupyterhub"]["hub"]
    text = sample.read_text().replace("{MONITORING_USER}", "monitoring")
    for scope in values["loadRoles"]["monitoring"]["scopes"]:
        assert f'"{scope}"' in text
    assert f'"{values["services"]["monitoring"]["url"]}"' in text


def test_the_hub_uses_this_projects_login_and_spawner_and_user_volumes(
    hub: dict[str, Any],
) -> None:
    declared = (ROOT / "pyproject.toml").read_text()
    config = hub["hub"]["config"]
    for key in ("authenticator_class", "spawner_class"):
        assert f'{config["JupyterHub"][key]} = "hub.' in declared
    assert hub["singleuser"]["storage"]["dynamic"]["pvcNameTemplate"] == "claim-{userid}"
    assert config["Authenticator"]["enable_auth_state"] is True
    images = (hub["hub"]["image"]["tag"], hub["singleuser"]["image"]["tag"])
    assert images == ("0.1.0", "0.1.0")


def test_no_secret_stands_in_the_values(hub: dict[str, Any]) -> None:
    text = yaml.safe_dump(hub).lower()
    assert "client_secret" not in text.replace("egicheckin_client_secret", "")
    secret = hub["hub"]["extraEnv"]["EGICHECKIN_CLIENT_SECRET"]["valueFrom"]["secretKeyRef"]
    assert secret == {"name": "checkin-client", "key": "secret"}


def test_the_hub_may_renew_the_users_tokens(production: list[helm.Manifest]) -> None:
    (rule,) = find(production, "Role")["rules"]
    assert (rule["resources"], set(rule["verbs"])) == (
        ["secrets"],
        {"get", "create", "update", "patch"},
    )
    assert find(production, "RoleBinding")["subjects"][0]["name"] == "hub"


REFUSED = {
    "jupyterhub: {ingress: {hosts: []}}": "jupyterhub.ingress.hosts is empty",
    "jupyterhub: {hub: {config: {EGICheckinAuthenticator: {allowed_groups: []}}}}": (
        "nobody may log in: set allowed_groups"
    ),
    "prometheus: {enabled: false}": "set notebooks-accounting.prometheus.url",
    "notebooks-accounting: {siteName: null}": "siteName is not set",
    "notebooks-accounting: {sitename: A}": "sitename: did you mean siteName?",
    "accounting: {siteName: A}": "accounting: did you mean notebooks-accounting?",
    "singleuser: {memory: {limit: 1G}}": "singleuser: write jupyterhub.singleuser",
}


@pytest.mark.parametrize(("values", "said"), REFUSED.items())
def test_wrong_values_are_refused_with_what_to_write(
    chart: Path, tmp_path: Path, values: str, said: str
) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(values)
    assert said in refusal(chart, PRODUCTION, file)
