"""The chart egi-notebooks: values that do not work are refused, with what to write."""

from pathlib import Path

import pytest

from tests.chart.helm import refusal
from tests.chart.umbrella import (
    PRODUCTION,
)


def test_helm_itself_refuses_a_key_that_zero_to_jupyterhub_does_not_know(chart: Path) -> None:
    said = refusal(chart, PRODUCTION, settings=("jupyterhub.auth.type=custom",))
    assert "additional properties 'auth' not allowed" in said


REFUSED = {
    "jupyterhub: {ingress: {hosts: []}}": "jupyterhub.ingress.hosts is empty",
    "jupyterhub: {hub: {config: {EGICheckinAuthenticator: {allowed_groups: []}}}}": (
        "nobody may log in: set allowed_groups"
    ),
    "jupyterhub: {httpRoute: {enabled: true}}": "jupyterhub.httpRoute needs hostnames",
    "jupyterhub: {httpRoute: {enabled: true, hostnames: [a], parentRefs: [{name: b}]}}": (
        "set jupyterhub.ingress.enabled to false"
    ),
    "jupyterhub: null": "jupyterhub is null",
    "prometheus: null": "to leave it out, write 'prometheus: {enabled: false}'",
    "jupyterhub: {hub: {config: null}}": "jupyterhub.hub.config is null, and it is a section",
    "prometheus: {server: null}": "prometheus.server is null, and it is a section",
    "prometheus: {enabled: false}": "set notebooks-accounting.prometheus.url",
    "notebooks-accounting: {siteName: null}": "siteName is not set",
    "notebooks-accounting: {sitename: A}": "sitename: did you mean siteName?",
    "accounting: {siteName: A}": "accounting: did you mean notebooks-accounting?",
    "singleuser: {memory: {limit: 1G}}": "singleuser: write jupyterhub.singleuser",
    "notebooks-accounting: {service: {port: 80}}": (
        "write jupyterhub.hub.services.accounting.url: http://notebooks-accounting:80"
    ),
    "prometheus: {server: {fullnameOverride: metrics}}": (
        "write notebooks-accounting.prometheus.url: http://metrics"
    ),
    "notebooks-accounting: {api: {metricsTokenSecret: {name: mine}}}": (
        "name it in prometheus.server.extraVolumes"
    ),
    "notebooks-accounting: {host: b.example.org}": (
        "oauth_redirect_uri: https://b.example.org/oauth_callback"
    ),
    "notebooks-accounting: {hub: {publicUrl: null}}": (
        "write notebooks-accounting.hub.publicUrl: https://notebooks.example.org/hub"
    ),
    "notebooks-accounting: {host: null, hub: {origin: shared}}": (
        "write jupyterhub.hub.services.accounting.oauth_redirect_uri: ''"
    ),
    "jupyterhub: {hub: {services: {accounting: {oauth_redirect_uri: null}}}}": (
        "write jupyterhub.hub.services.accounting.oauth_redirect_uri: https://accounting.example.org"
    ),
    "jupyterhub: {fullnameOverride: lab}": "write notebooks-accounting.hub.apiUrl: http://lab-hub:8081",
}


@pytest.mark.parametrize(("values", "said"), REFUSED.items())
def test_wrong_values_are_refused_with_what_to_write(
    chart: Path, tmp_path: Path, values: str, said: str
) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(values)
    assert said in refusal(chart, PRODUCTION, file)
