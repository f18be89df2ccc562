"""The chart egi-notebooks: its parts fit together, and each can be left out."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import helm, manifests, upstream
from tests.chart.helm import CHARTS, ROOT, find, refusal, render
from tests.chart.umbrella import CHART, assembled, configured, values_of

CASES = sorted(CHART.glob("ci/*-values.yaml"))
PRODUCTION = CHART / "ci" / "production-values.yaml"
BESIDE = CHART / "ci" / "beside-values.yaml"
PARTS = ("jupyterhub", "prometheus", "notebooks-accounting")
BACKUP = (
    "notebooks-backup.enabled=true",
    "notebooks-backup.repository=rest:https://backup.example.org/",
    "notebooks-backup.password=made-up",
)
PART_OF = "app.kubernetes.io/part-of"
MONITORING = (
    "notebooks-monitoring.enabled=true",
    "notebooks-monitoring.hubUrl=https://n.example.org",
)


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


def preset(case: Path) -> list[Path]:
    """The preset that a case is given after, if there is one of its name."""
    file = CHART / "presets" / f"{case.stem.removesuffix('-values')}.yaml"
    return [file] if file.exists() else []


def own(made: list[helm.Manifest]) -> list[helm.Manifest]:
    """What the charts of this project make."""
    return [m for m in made if m["metadata"].get("labels", {}).get(PART_OF) == "egi-notebooks"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_case_makes_manifests_that_kubernetes_takes_and_confined_pods(
    chart: Path, case: Path
) -> None:
    given = [*preset(case), case]
    values = [argument for file in given for argument in ("--values", file)]
    assert helm.run("lint", "--strict", chart, *values).returncode == 0
    made = render(chart, *given)
    ours = own(made)
    assert ours
    versions = manifests.VERSIONS if not upstream.is_real() else manifests.VERSIONS[4:]
    found = {v: [f for m in made for f in manifests.faults(m, v)] for v in versions}
    assert {version: faults for version, faults in found.items() if faults} == {}
    pods = manifests.pods(ours)
    assert {
        name: faults for name, pod in pods.items() if (faults := manifests.unconfined(pod))
    } == {}


def test_each_preset_has_a_case() -> None:
    assert [file for case in CASES for file in preset(case)] == sorted(CHART.glob("presets/*"))


def test_a_whole_namespace_is_as_restricted_as_pod_security_asks(chart: Path) -> None:
    case = CHART / "ci" / "restricted-values.yaml"
    made = render(chart, *preset(case), case)
    pods = manifests.pods(made)
    found = {name: faults for name, pod in pods.items() if (faults := manifests.unrestricted(pod))}
    assert found == {}
    if upstream.is_real():
        assert len(pods) > 14
    hub = values_of(made, "jupyterhub")
    assert hub["singleuser"]["cloudMetadata"]["blockWithIptables"] is False
    # KubeSpawner makes the users' servers of these.
    spawner = hub["hub"]["config"]["KubeSpawner"]
    server = {
        "securityContext": spawner["pod_security_context"],
        "containers": [
            {
                "name": "notebook",
                "securityContext": {
                    "allowPrivilegeEscalation": spawner["allow_privilege_escalation"],
                    **spawner["container_security_context"],
                },
            }
        ],
    }
    assert manifests.unrestricted(server) == []


def test_on_openshift_the_platform_chooses_users_and_groups(chart: Path) -> None:
    case = CHART / "ci" / "openshift-values.yaml"
    made = render(chart, *preset(case), case)
    for name, pod in manifests.pods(made).items():
        contexts = [pod, *pod.get("initContainers", []), *pod["containers"]]
        for context in contexts:
            chosen = context.get("securityContext") or {}
            given = {key for key in ("runAsUser", "runAsGroup", "fsGroup") if chosen.get(key)}
            assert given == set(), (name, context.get("name"))
    assert values_of(made, "jupyterhub")["singleuser"].get("uid") is None


def test_a_hub_behind_a_gateway_has_no_ingress(chart: Path) -> None:
    made = render(chart, CHART / "ci" / "kube-prometheus-stack-values.yaml")
    hub = values_of(made, "jupyterhub")
    assert (hub["ingress"]["enabled"], hub["httpRoute"]["enabled"]) == (False, True)
    if upstream.is_real():
        routes = [m["spec"]["hostnames"] for m in made if m["kind"] == "HTTPRoute"]
        assert ["notebooks.example.org"] in routes
    assert len([m for m in made if m["kind"] == "ServiceMonitor"]) == 3
    assert not [m for m in made if m["metadata"]["name"] == "egi-notebooks-alerts"]


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


@pytest.mark.parametrize("release", ["egi", "prometheus", "my-prometheus"])
def test_accounting_asks_the_prometheus_of_its_own_release(chart: Path, release: str) -> None:
    made = render(chart, PRODUCTION, release=release)
    settings = find(made, "ConfigMap", "notebooks-accounting")["data"]["settings.yaml"]
    url = yaml.safe_load(settings)["prometheus"]["url"]
    if upstream.is_real():
        assert find(made, "Service", url.removeprefix("http://"))
    assert url.startswith(f"http://{release}")


@pytest.mark.skipif(not upstream.is_real(), reason="needs the real charts: UPSTREAM_CHARTS")
def test_releases_of_different_names_share_no_object_of_the_cluster(chart: Path) -> None:
    """Nor does one beside the chart prometheus, installed as ``prometheus``."""
    made = [
        {(m["kind"], m["metadata"]["name"]) for m in render(chart, PRODUCTION, release=release)}
        for release in ("one", "two")
    ]
    shared = {kind for kind, name in made[0] & made[1] if kind.startswith("Cluster")}
    assert shared == set()
    assert ("ClusterRole", "prometheus-server") not in made[0]


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


def test_prometheus_scrapes_every_part_with_its_token_and_has_its_alerts(
    chart: Path, tmp_path: Path
) -> None:
    made = render(chart, PRODUCTION, settings=(*MONITORING, *BACKUP))
    prometheus = values_of(made, "prometheus")
    tokens: dict[str, tuple[str, str]] = {}
    for volume in prometheus["server"]["extraVolumes"]:
        for source in volume.get("projected", {}).get("sources", []):
            (item,) = source["secret"]["items"]
            tokens[item["path"]] = (source["secret"]["name"], item["key"])
    jobs = {
        name: about
        for name, about in prometheus["scrapeConfigs"].items()
        if name.startswith("notebooks-")
    }
    assert set(jobs) == {f"notebooks-{part}" for part in tokens}
    for part, (secret, key) in tokens.items():
        assert key in find(made, "Secret", secret)["data"]
        (port,) = find(made, "Service", f"notebooks-{part}")["spec"]["ports"]
        relabelled = {
            r["source_labels"][0]: r["regex"]
            for r in jobs[f"notebooks-{part}"]["relabel_configs"]
            if r.get("action") == "keep"
        }
        assert relabelled == {
            "__meta_kubernetes_service_name": f"notebooks-{part}",
            "__meta_kubernetes_endpointslice_port_name": port["name"],
        }
    check([{"job_name": name, **about} for name, about in jobs.items()], tmp_path)
    alerts = find(made, "ConfigMap", "egi-notebooks-alerts")["data"]
    assert len(alerts) == 3
    for name, text in alerts.items():
        rules = tmp_path / name
        rules.write_text(text)
        promtool("check", "rules", rules)
        assert 'namespace="hub"' in text
        assert 'namespace=~".*"' not in text


@pytest.mark.skipif(not upstream.is_real(), reason="needs the real charts: UPSTREAM_CHARTS")
def test_the_real_prometheus_mounts_what_its_configuration_names(
    chart: Path, tmp_path: Path
) -> None:
    made = render(chart, PRODUCTION)
    config = find(made, "ConfigMap", "egi-prometheus-server")["data"]["prometheus.yml"]
    check(yaml.safe_load(config)["scrape_configs"], tmp_path)
    jobs = {job["job_name"]: job for job in yaml.safe_load(config)["scrape_configs"]}
    assert {"kubernetes-nodes-cadvisor", "kubernetes-service-endpoints"} <= set(jobs)
    assert "/etc/notebooks/alerts/*.yaml" in yaml.safe_load(config)["rule_files"]
    pod = manifests.pods(made)["Deployment egi-prometheus-server"]
    for container in pod["containers"]:
        mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert "/etc/notebooks/alerts" in mounted
    assert "--watched-dir=/etc/notebooks/alerts" in str(pod)


def check(scrapes: list[dict[str, Any]], folder: Path) -> None:
    """Have promtool read scrape jobs. Debian's is built without Kubernetes' discovery."""
    for job in scrapes:
        for found in job.pop("kubernetes_sd_configs", []):
            assert found["role"] in {"node", "pod", "service", "endpoints", "endpointslice"}
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump({"scrape_configs": scrapes}))
    promtool("check", "config", "--syntax-only", file)


def promtool(*arguments: str | Path) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_images_are_all_from_one_registry_or_the_lines_to_write_are_said(
    chart: Path,
) -> None:
    given = ("global.imageRegistry=registry.example.org",)
    said = refusal(chart, PRODUCTION, settings=given)
    lines = re.findall(r"((?:jupyterhub|prometheus)[.\w-]+): (registry.example.org/\S+)", said)
    assert ("jupyterhub.hub.image.name", f"{given[0][21:]}/eginotebooks/notebooks-hub") in lines
    assert len(lines) == 10
    made = render(
        chart, PRODUCTION, settings=(*given, *(f"{field}={image}" for field, image in lines))
    )
    images = {
        container["image"]
        for pod in manifests.pods(made).values()
        for container in [*pod.get("initContainers", []), *pod["containers"]]
    }
    assert images
    assert [image for image in images if not image.startswith("registry.example.org/")] == []


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
    from accounting.doctor.volumes import CLAIMS_ALLOWLIST  # noqa: PLC0415 - the same

    allowed, claims = values_of(production, "prometheus")["kube-state-metrics"][
        "metricAnnotationsAllowList"
    ]
    assert f"--metric-annotations-allowlist={allowed}" == ALLOWLIST
    assert claims == CLAIMS_ALLOWLIST


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
