"""The chart egi-notebooks: accounting has a host name of its own, or shares the hub's by choice."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import helm
from tests.chart.helm import find, refusal, render
from tests.chart.umbrella import (
    CHART,
    configured,
    own,
    values_of,
)


def test_in_production_accounting_has_a_host_name_of_its_own_that_the_hub_knows(
    production: list[helm.Manifest], hub: dict[str, Any]
) -> None:
    (ingress,) = (m for m in own(production) if m["kind"] == "Ingress")
    (rule,) = ingress["spec"]["rules"]
    found = find(production, "ConfigMap", "notebooks-accounting")["data"]["settings.yaml"]
    settings = yaml.safe_load(found)["hub"]
    callback = f"https://{rule['host']}/oauth_callback"
    assert rule["host"] not in hub["ingress"]["hosts"]
    assert (settings["origin"], settings["callback_url"]) == ("own", callback)
    assert hub["hub"]["services"]["accounting"]["oauth_redirect_uri"] == callback
    assert ingress["spec"]["ingressClassName"] == hub["ingress"]["ingressClassName"]
    assert ingress["metadata"]["annotations"].items() <= hub["ingress"]["annotations"].items()


DEMO = CHART / "ci" / "demo-values.yaml"
SHARED = (
    "notebooks-accounting.hub.origin=shared",
    "jupyterhub.hub.services.accounting.oauth_redirect_uri=",
)


def redirect(made: list[helm.Manifest]) -> str | None:
    """Where the hub lets logins to accounting end, as its configuration makes it."""
    services = configured(values_of(made, "jupyterhub")).JupyterHub.services
    (service,) = (one for one in services if one["name"] == "accounting")
    found: str | None = service.get("oauth_redirect_uri")
    return found


@pytest.mark.parametrize("entrance", ["ingress", "gateway"])
def test_the_hubs_address_is_all_that_accounting_needs_for_a_host_name_of_its_own(
    chart: Path, entrance: str
) -> None:
    behind = (
        "jupyterhub.ingress.enabled=false",
        "jupyterhub.httpRoute.enabled=true",
        "jupyterhub.httpRoute.hostnames[0]=notebooks-demo.example.org",
        "jupyterhub.httpRoute.parentRefs[0].name=public",
        "notebooks-accounting.httpRoute.enabled=true",
        "notebooks-accounting.httpRoute.parentRefs[0].name=public",
    )
    made = render(chart, DEMO, settings=behind if entrance == "gateway" else ())
    host = "accounting.notebooks-demo.example.org"
    if entrance == "gateway":
        assert find(made, "HTTPRoute", "notebooks-accounting")["spec"]["hostnames"] == [host]
    hosts = [m["spec"]["rules"][0]["host"] for m in own(made) if m["kind"] == "Ingress"]
    assert hosts == ([host] if entrance == "ingress" else [])
    settings = find(made, "ConfigMap", "notebooks-accounting")["data"]["settings.yaml"]
    hub = yaml.safe_load(settings)["hub"]
    assert (hub["origin"], hub["callback_url"]) == ("own", f"https://{host}/oauth_callback")
    assert redirect(made) == hub["callback_url"]


def test_where_nothing_says_where_accounting_is_both_choices_are_told(chart: Path) -> None:
    """So an upgrade changes nothing unseen: what is installed goes on until one is made."""
    said = refusal(chart, DEMO, settings=("notebooks-accounting.hub.publicUrl=",))
    lines = re.findall(r"(?:jupyterhub|notebooks-accounting)\.[\w.-]+: \S+", said)
    address, origin, uri = (line.rstrip(".") for line in lines)
    assert address == "notebooks-accounting.hub.publicUrl: https://notebooks-demo.example.org/hub"
    assert origin == "notebooks-accounting.hub.origin: shared"
    assert uri == "jupyterhub.hub.services.accounting.oauth_redirect_uri: ''"


def test_accounting_stays_on_the_hubs_host_name_where_that_is_chosen(chart: Path) -> None:
    made = render(chart, DEMO, settings=SHARED)
    assert redirect(made) is None  # JupyterHub's own: below the service's path
    assert not [m for m in own(made) if m["kind"] == "Ingress"]
    settings = find(made, "ConfigMap", "notebooks-accounting")["data"]["settings.yaml"]
    assert yaml.safe_load(settings)["hub"]["origin"] == "shared"
    shown = helm.run(
        *("install", "egi", chart, "--dry-run=client", "--values", DEMO),
        *(word for setting in SHARED for word in ("--set", setting)),
    ).stdout
    notes = shown.partition("NOTES:")[2]
    assert "sees only their own usage" in notes
    assert 'hub: {publicUrl: "https://notebooks-demo.example.org/hub"}' in notes
