"""The chart egi-notebooks: what Zero to JupyterHub gets, and what the hub may do."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import helm, manifests
from tests.chart.helm import CHARTS, ROOT, find, render
from tests.chart.umbrella import (
    CHART,
    MONITORING,
    PRODUCTION,
    configured,
    own,
    values_of,
)


def test_the_hub_reaches_each_service_where_it_is(chart: Path) -> None:
    made = render(chart, PRODUCTION, settings=MONITORING)
    services = values_of(made, "jupyterhub")["hub"]["services"]
    # EGI's earlier probe asks at /services/status/, which nobody looks for on the hub's pages.
    assert services.pop("status") == {"url": services["monitoring"]["url"], "display": False}
    assert set(services) == {"accounting", "monitoring"}
    for name, about in services.items():
        service = find(made, "Service", f"notebooks-{name}")
        address = f"http://{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
        assert about["url"] == address
        assert about["display"] is True


@pytest.mark.parametrize("part", ["accounting", "monitoring"])
def test_the_hub_does_not_know_a_service_that_is_switched_off(chart: Path, part: str) -> None:
    given = (*MONITORING, f"notebooks-{part}.enabled=false")
    demo = CHART / "ci" / "demo-values.yaml"
    hub = values_of(render(chart, demo, settings=given), "jupyterhub")["hub"]
    assert part not in hub["services"]
    of_services = {name for role in hub["loadRoles"].values() for name in role.get("services", [])}
    assert part not in of_services
    users = {name for role in hub["loadRoles"].values() for name in role.get("users", [])}
    assert ("monitoring" in users) is (part != "monitoring")


def test_the_operator_has_the_last_word_on_a_service(chart: Path) -> None:
    given = ("jupyterhub.hub.services.accounting.display=false",)
    hub = values_of(render(chart, PRODUCTION, settings=given), "jupyterhub")["hub"]
    assert hub["services"]["accounting"] == {
        "oauth_redirect_uri": "https://accounting.example.org/oauth_callback",
        "url": "http://notebooks-accounting:8000",
        "display": False,
        "oauth_no_confirm": True,
    }


def test_accounting_takes_its_hub_token_from_where_zero_to_jupyterhub_keeps_it(
    production: list[helm.Manifest], hub: dict[str, Any]
) -> None:
    pod = manifests.pods(production)["Deployment notebooks-accounting"]
    (secrets,) = (v["projected"]["sources"] for v in pod["volumes"] if v["name"] == "secrets")
    sources = {s["secret"]["name"]: s["secret"]["items"][0]["key"] for s in secrets}
    assert sources["hub"] == "hub.services.accounting.apiToken"
    assert "apiToken" not in hub["hub"]["services"]["accounting"], "the chart generates it"


def test_no_service_is_an_admin_and_each_role_is_of_a_service(chart: Path) -> None:
    hub = values_of(render(chart, PRODUCTION, settings=MONITORING), "jupyterhub")
    services = hub["hub"]["services"]
    assert not any("admin" in about for about in services.values())
    roles = hub["hub"]["loadRoles"]
    assert {name for role in roles.values() for name in role.get("services", [])} <= set(services)
    scopes = [s for role in roles.values() if "services" in role for s in role["scopes"]]
    assert scopes
    assert all(scope.endswith("!user=monitoring") for scope in scopes)
    reached = {s.partition("=")[2] for s in roles["user"]["scopes"] if "!service=" in s}
    assert reached == set(services) - {"status"}


def test_the_hubs_own_configuration_can_be_run(hub: dict[str, Any]) -> None:
    config = configured(hub)
    assert "EGISpawner" not in config  # CVMFS is off
    (templates,) = config.JupyterHub.template_paths
    assert (Path(templates) / "page.html").exists()
    assert Path(config.JupyterHub.logo_file).exists()
    used = "".join(file.read_text() for file in Path(templates).glob("*.html"))
    assert all(name in used for name in hub["hub"]["templateVars"])


def test_the_samples_for_the_hub_and_for_the_chart_say_the_same_of_the_monitoring() -> None:
    sample = ROOT / "docs" / "hub" / "monitoring.py"
    file = CHARTS / "notebooks-monitoring" / "values.yaml"
    values = yaml.safe_load(file.read_text())["forHub"]
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


@pytest.mark.parametrize("account", [None, "the-hub"])
def test_the_hub_may_renew_the_users_tokens_and_label_their_homes(
    chart: Path, account: str | None
) -> None:
    """Zero to JupyterHub's default is ``hub.serviceAccount.name: null``, for the hub's own name."""
    given = () if account is None else (f"jupyterhub.hub.serviceAccount.name={account}",)
    made = own(render(chart, PRODUCTION, settings=given))
    granted = {
        (resource, verb)
        for rule in find(made, "Role")["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == {
        ("secrets", "update"), ("secrets", "patch"), ("persistentvolumeclaims", "patch"),
    }  # fmt: skip
    assert find(made, "RoleBinding")["subjects"][0]["name"] == (account or "hub")
