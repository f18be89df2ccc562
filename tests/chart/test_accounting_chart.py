"""The chart notebooks-accounting: what it runs, what it refuses, and that the program agrees."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from accounting.config import Settings, load, settings
from tests.chart import helm, manifests
from tests.chart.helm import CHARTS, find, refusal, render

CHART = CHARTS / "notebooks-accounting"
CASES = sorted(CHART.glob("ci/*-values.yaml"))
MINIMAL = CHART / "ci" / "minimal-values.yaml"
EVERYTHING = CHART / "ci" / "everything-values.yaml"
POSTGRESQL = CHART / "ci" / "postgresql-values.yaml"
OLD = Path(__file__).parent / "data" / "old-values.yaml"


def loaded(made: list[helm.Manifest], tmp_path: Path) -> Settings:
    """The settings file of a release, as the program reads it."""
    file = tmp_path / "settings.yaml"
    (settings,) = (m["data"] for m in made if "settings.yaml" in m.get("data", ()))
    file.write_text(settings["settings.yaml"])
    return load(file)


def files_of(pod: helm.Manifest) -> set[str]:
    """The files that a pod's volumes bring, by their paths in its first container."""
    brought: dict[str, list[str]] = {}
    for volume in pod["volumes"]:
        sources = volume.get("projected", {}).get("sources", []) or [volume]
        items = [i for source in sources for i in source.get("secret", {}).get("items", [])]
        brought[volume["name"]] = [item["path"] for item in items]
    mounts = pod["containers"][0]["volumeMounts"]
    assert not any("subPath" in mount for mount in mounts), "a renewed file would not arrive"
    return {f"{m['mountPath']}/{file}" for m in mounts for file in brought[m["name"]]}


# What is rendered is what the program understands.


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_the_program_loads_the_settings_that_are_rendered(case: Path, tmp_path: Path) -> None:
    found = loaded(render(CHART, case), tmp_path)
    assert found.site().name == "EGI-NOTEBOOKS"
    assert found.scope().namespace == "hub"
    assert found.api.token_file == Path("/etc/notebooks-accounting/secrets/token")


def test_every_value_reaches_the_setting_of_its_name(tmp_path: Path) -> None:
    given = yaml.safe_load(EVERYTHING.read_text())
    found = loaded(render(CHART, EVERYTHING), tmp_path).model_dump(mode="json", by_alias=True)
    found["log"]["json"] = found["log"].pop("json", found["log"].pop("as_json", None))
    by_name = {s.path: s for s in settings()}
    compared = set()
    for group, values in given.items():
        for key, value in values.items() if isinstance(values, dict) else []:
            path = f"{group}.{re.sub('(?=[A-Z])', '_', key).lower()}"
            if path not in by_name or path == "poll.step":  # which `settings` overrides there
                continue
            duration = by_name[path].is_duration
            expected = _seconds(value) if duration else value
            assert found[group][path.partition(".")[2]] == expected, path
            compared.add(path)
    assert len(compared) > 35
    assert found["poll"]["step"] == 7200


def _seconds(text: str) -> float:
    return float(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_every_file_that_the_settings_name_is_mounted(case: Path, tmp_path: Path) -> None:
    made = render(CHART, case)
    pods = manifests.pods(made)
    found = loaded(made, tmp_path)
    named = {
        str(path)
        for group in (
            found.prometheus,
            found.vo,
            found.ssm,
            found.eosc,
            found.cim,
            found.api,
            found.hub,
        )
        for name, path in group
        if isinstance(path, Path) and name != "dirq_path"
    }
    if case.stem == "subchart-values":  # it does not deliver, and has no certificate
        named = {path for path in named if not path.startswith("/etc/grid-security")}
    for name, pod in pods.items():
        if pod["containers"][0]["args"][0] != "push":
            assert named <= files_of(pod), name


def test_secrets_of_the_other_outlets_are_files_and_in_no_environment(tmp_path: Path) -> None:
    made = render(CHART, EVERYTHING)
    found = loaded(made, tmp_path)
    named = {str(found.eosc.client_secret_file), str(found.cim.password_file)}
    for pod in manifests.pods(made).values():
        assert not re.search("EOSC|CIM", json.dumps(pod["containers"][0].get("env", [])))
        if pod["containers"][0]["args"][0] == "serve":
            assert named <= files_of(pod)
            (secrets,) = (
                v["projected"]["sources"] for v in pod["volumes"] if v["name"] == "secrets"
            )
            items = {s["secret"]["name"]: s["secret"]["items"] for s in secrets}
            assert items["eosc"] == [{"key": "client-secret", "path": "eosc-client-secret"}]
            assert items["cim"] == [{"key": "publisher", "path": "cim-password"}]
    egress = find(made, "NetworkPolicy")["spec"]["egress"]
    assert any({"port": 8443} in one.get("ports", []) for one in egress)


def test_the_database_and_the_spool_lie_on_the_volume(tmp_path: Path) -> None:
    made = render(CHART, MINIMAL, settings=("ssm.transport=dirq",))
    found = loaded(made, tmp_path)
    mounts = find(made, "Deployment")["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    (data,) = (mount["mountPath"] for mount in mounts if mount["name"] == "data")
    assert found.database_url == f"sqlite:///{data}/accounting.db"
    assert found.ssm.dirq_path == Path(data) / "spool"


# What runs.


def test_sqlite_is_served_by_one_pod_that_ends_before_the_next_one_starts() -> None:
    made = render(CHART, MINIMAL)
    spec = find(made, "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")
    claim = find(made, "PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_postgresql_is_served_by_several_pods_without_a_volume() -> None:
    made = render(CHART, POSTGRESQL)
    spec = find(made, "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (2, "RollingUpdate")
    assert not [m for m in made if m["kind"] == "PersistentVolumeClaim"]
    pod = spec["template"]["spec"]
    assert "PGPASSWORD" not in str(pod)
    password = "/etc/notebooks-accounting/secrets/database-password"
    assert password in files_of(pod)
    settings = find(made, "ConfigMap")["data"]["settings.yaml"]
    assert yaml.safe_load(settings)["database_url"].endswith(f"?password_file={password}")
    policy = find(made, "NetworkPolicy")["spec"]["egress"]
    assert {"port": 6432} in policy[-1]["ports"]


def test_the_job_pushes_through_the_service_with_a_token_that_can_do_nothing_else() -> None:
    made = render(CHART, MINIMAL)
    job = find(made, "CronJob")["spec"]
    assert (job["concurrencyPolicy"], job["startingDeadlineSeconds"]) == ("Forbid", 3600)
    assert (job["successfulJobsHistoryLimit"], job["failedJobsHistoryLimit"]) == (1, 3)
    pod = manifests.pods(made)["CronJob egi-notebooks-accounting-push"]
    service = find(made, "Service")
    url = f"http://{service['metadata']['name']}.hub.svc:{service['spec']['ports'][0]['port']}"
    arguments = pod["containers"][0]["args"]
    assert arguments[:3] == ["push", "--url", url]
    assert set(arguments[4:]) == files_of(pod) == {"/etc/notebooks-accounting/secrets/job-token"}
    assert job["jobTemplate"]["spec"]["activeDeadlineSeconds"] == 1800


def test_only_the_job_delivers_so_that_its_schedule_is_the_operators(tmp_path: Path) -> None:
    assert loaded(render(CHART, MINIMAL), tmp_path).ssm.interval == 0
    measuring = ("siteName=A", "push.enabled=false")
    assert not [m for m in render(CHART, settings=measuring) if m["kind"] == "CronJob"]
    assert "hostcert and ssm.hostkey are not set" in refusal(
        CHART, settings=(*measuring, "ssm.interval=1h")
    )


def test_the_service_is_reached_on_the_port_that_its_container_listens_on() -> None:
    made = render(CHART, MINIMAL)
    (container,) = find(made, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["args"][-1] == str(container["ports"][0]["containerPort"])
    probed = {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("liveness", "startup")}
    assert probed == {"/healthz"}
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    selector = find(made, "Service")["spec"]["selector"].items()
    assert selector <= find(made, "Deployment")["spec"]["template"]["metadata"]["labels"].items()


def test_the_policy_and_the_budget_are_for_the_pods_that_they_are_meant_for() -> None:
    made = render(CHART, CHART / "ci" / "everything-values.yaml")
    service = find(made, "Deployment")["spec"]["template"]["metadata"]["labels"].items()
    job = find(made, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    policy, budget = find(made, "NetworkPolicy")["spec"], find(made, "PodDisruptionBudget")["spec"]
    guarded = policy["podSelector"]["matchLabels"].items()
    assert guarded <= service
    assert guarded <= job.items()
    spared = budget["selector"]["matchLabels"].items()
    assert spared <= service
    assert not spared <= job.items(), "a job that ends by itself keeps no node from being drained"
    (entrance,) = policy["ingress"][:1]
    own = [peer["podSelector"]["matchLabels"].items() for peer in entrance["from"][:1]]
    assert own == [guarded], "the job reaches the service"
    assert entrance["ports"] == [{"port": "http"}]


def test_changed_settings_restart_the_pod_and_a_renewed_certificate_does_not() -> None:
    def annotations(*changes: str) -> dict[str, str]:
        made = render(CHART, MINIMAL, settings=changes)
        template = find(made, "Deployment")["spec"]["template"]
        return dict(template["metadata"]["annotations"])

    renewed = "-----BEGIN CERTIFICATE-----renewed"
    assert annotations() == annotations(f"ssm.hostcert={renewed}")
    assert annotations() != annotations("poll.interval=10m")


def test_the_test_runs_the_doctor_with_the_services_own_settings_where_its_volume_is() -> None:
    made = render(CHART, MINIMAL)
    test = find(made, "Pod")
    service = manifests.pods(made)["Deployment egi-notebooks-accounting"]
    assert test["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert test["spec"]["containers"][0]["args"] == ["doctor"]
    for key in ("env", "volumeMounts"):
        assert test["spec"]["containers"][0][key] == service["containers"][0][key]
    assert test["spec"]["volumes"] == service["volumes"]
    assert "podAffinity" in test["spec"]["affinity"]


def test_the_certificate_comes_from_values_a_secret_or_cert_manager() -> None:
    secret = find(render(CHART, MINIMAL), "Secret", "egi-notebooks-accounting-hostcert")
    assert (secret["type"], set(secret["data"])) == ("kubernetes.io/tls", {"tls.crt", "tls.key"})
    issued = find(render(CHART, EVERYTHING), "Certificate")
    assert issued["spec"]["secretName"] == "egi-usage-hostcert"
    assert issued["spec"]["issuerRef"]["name"] == "site-ca"
    own = render(CHART, CHART / "ci" / "existing-secret-values.yaml")
    assert not [m for m in own if m["kind"] == "Secret"]
    (volume,) = (v for v in find(own, "Pod")["spec"]["volumes"] if v["name"] == "host-certificate")
    assert volume["secret"]["secretName"] == "gocdb-host"


def test_the_alerts_and_the_dashboard_are_those_of_the_service(tmp_path: Path) -> None:
    made = render(CHART, EVERYTHING)
    rules = find(made, "PrometheusRule")["spec"]
    text = (helm.ROOT / "monitoring" / "alerts.yaml").read_text()
    assert rules == yaml.safe_load(text.replace('namespace=~".*"', 'namespace="hub"'))
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(rules))
    checked = subprocess.run(
        ["promtool", "check", "rules", file], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    shown = find(made, "ConfigMap", "egi-usage-dashboard")
    dashboard = json.loads((helm.ROOT / "monitoring" / "dashboard.json").read_text())
    assert json.loads(shown["data"]["notebooks-accounting.json"]) == dashboard
    assert shown["metadata"]["labels"]["grafana_dashboard"] == "1"


def test_a_release_that_only_measures_has_no_alerts_of_delivery() -> None:
    given = ("siteName=A", "push.enabled=false", "prometheusRule.enabled=true")
    groups = find(render(CHART, settings=given), "PrometheusRule")["spec"]["groups"]
    assert [group["name"] for group in groups] == ["notebooks-accounting"]


def test_prometheus_scrapes_with_a_token_that_reads_metrics_only() -> None:
    given = ("serviceMonitor.enabled=true",)
    made = render(CHART, MINIMAL, settings=given)
    (endpoint,) = find(made, "ServiceMonitor")["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("http", "/metrics")
    credentials = endpoint["authorization"]["credentials"]
    assert credentials == {"name": "egi-notebooks-accounting", "key": "metrics-token"}


def test_the_program_takes_the_arguments_that_the_pods_give_it() -> None:
    program = Path(sys.executable).with_name("notebooks-accounting")
    for pod in manifests.pods(render(CHART, MINIMAL)).values():
        command, *arguments = pod["containers"][0]["args"]
        shown = subprocess.run(
            [program, command, "--help"], capture_output=True, text=True, check=True
        ).stdout
        assert all(option in shown for option in arguments if option.startswith("--")), command


def test_global_values_of_a_deployment_reach_the_images() -> None:
    made = render(CHART, CHART / "ci" / "subchart-values.yaml")
    pod = manifests.pods(made)["Deployment notebooks-accounting"]
    image = pod["containers"][0]["image"]
    assert image == "registry.example.org/mirror/eginotebooks/notebooks-accounting:0.1.0"
    assert pod["imagePullSecrets"] == [{"name": "mirror-pull"}, {"name": "second"}]


# Where people find it.

OWN = ("hub.enabled=true", "host=a.example.org", "hub.publicUrl=https://n.example.org/hub")


def test_a_host_name_is_all_that_an_own_ingress_and_origin_need(tmp_path: Path) -> None:
    made = render(CHART, MINIMAL, settings=OWN)
    ingress = find(made, "Ingress")["spec"]
    assert ingress["tls"] == [
        {"hosts": ["a.example.org"], "secretName": "egi-notebooks-accounting-tls"}
    ]
    (rule,) = ingress["rules"]
    assert (rule["host"], rule["http"]["paths"][0]["path"]) == ("a.example.org", "/")
    hub = loaded(made, tmp_path).hub
    assert (hub.origin, hub.prefix) == ("own", "")
    assert hub.callback_url == "https://a.example.org/oauth_callback"
    (entrance,) = find(made, "NetworkPolicy")["spec"]["ingress"][:1]
    assert {"namespaceSelector": {"matchLabels": {}}} in entrance["from"]


def test_with_a_gateway_the_host_name_is_the_route_s() -> None:
    route = ("httpRoute.enabled=true", "httpRoute.parentRefs[0].name=public")
    made = render(CHART, MINIMAL, settings=(*OWN, *route))
    assert find(made, "HTTPRoute")["spec"]["hostnames"] == ["a.example.org"]
    assert not [m for m in made if m["kind"] == "Ingress"]


HUB = ("hub.enabled=true", "hub.publicUrl=https://Notebooks.example.org:8443/hub")


def test_by_default_the_host_name_is_below_the_hubs(tmp_path: Path) -> None:
    made = render(CHART, MINIMAL, settings=HUB)
    (rule,) = find(made, "Ingress")["spec"]["rules"]
    assert rule["host"] == "accounting.notebooks.example.org"
    hub = loaded(made, tmp_path).hub
    assert (hub.origin, hub.prefix) == ("own", "")
    assert hub.callback_url == "https://accounting.notebooks.example.org/oauth_callback"
    assert "https://accounting.notebooks.example.org/oauth_callback" in notes(HUB)


def test_the_pages_share_the_hubs_host_name_only_if_told_and_the_notes_say_so(
    tmp_path: Path,
) -> None:
    given = ("hub.enabled=true", "hub.origin=shared")
    made = render(CHART, MINIMAL, settings=given)
    hub = loaded(made, tmp_path).hub
    assert (hub.origin, hub.prefix) == ("shared", "/services/accounting")
    assert not [m for m in made if m["kind"] == "Ingress"]
    assert "sees only their own usage" in notes(given)
    assert "sees only their own usage" not in notes(OWN)
    assert "https://a.example.org/" in notes(OWN)


@pytest.mark.parametrize("public", ["", "https://192.0.2.7/hub", "https://[2001:db8::7]/hub"])
def test_where_no_host_name_can_be_known_the_choices_are_told(public: str) -> None:
    said = refusal(CHART, MINIMAL, settings=("hub.enabled=true", f"hub.publicUrl={public}"))
    assert "write hub.publicUrl" in said
    assert "write hub.origin: shared" in said


def notes(given: tuple[str, ...]) -> str:
    """What Helm prints after the installation."""
    settings = [argument for setting in given for argument in ("--set", setting)]
    shown = helm.run(
        "install", "egi", CHART, "--dry-run=client", "--values", MINIMAL, *settings
    ).stdout
    return shown.partition("NOTES:")[2]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("hub.publicUrl=", "hub.publicUrl is not set"),
        ("hub.publicUrl=https://a.example.org:8443/hub", "host is a.example.org, which is the hub"),
        ("host=https://a.example.org", "it is a host name alone"),
        ("hub.origin=shared", "hub.origin is shared: leave one of them out"),
        ("settings.hub.origin=shared", "hub.origin is shared: leave one of them out"),
    ],
)
def test_a_host_name_that_cannot_work_is_refused(changed: str, said: str) -> None:
    assert said in refusal(CHART, MINIMAL, settings=(*OWN, changed))


# What is refused, and what is said.

REFUSED = {
    "siteName=": "siteName is not set: the site's name in GOCDB",
    "siteName=EGI NOTEBOOKS": "siteName is not a GOCDB site name",
    "ssm.hostcert=": "ssm.hostcert holds no '-----BEGIN CERTIFICATE-----'",
    "ssm.hostkey=": "ssm.hostkey holds no 'PRIVATE KEY'",
    "ssm.hostcert=-----BEGIN PRIVATE KEY-----": "ssm.hostcert holds a key",
    "ssm.hostkey=-----BEGIN ENCRYPTED PRIVATE KEY-----": "ssm.hostkey has a passphrase",
    "ssm.existingSecret.name=a": "comes from ssm.hostcert and ssm.hostkey and from ssm.existing",
    "replicas=2": "set database.url to PostgreSQL (and ssm.transport to ams), or replicas to 1",
    "database.url=mysql://db/accounting": "database.url is no address such as postgresql://",
    "database.url=postgresql://a:secret@db/a": "database.url holds a password",
    "fullnameOverride=jupyter-accounting": "would be accounted as notebooks",
    "ssm.transport=kafka": "at '/ssm/transport': value must be one of 'ams', 'dirq'",
    "poll.step=soon": "at '/poll/step'",
    "replicas=many": "at '/replicas': got string, want integer",
    "image.digest=latest": "at '/image/digest'",
    "ssm.hostCert=x": "ssm.hostCert: did you mean ssm.hostcert?",
    "hostcert=x": "hostcert: did you mean ssm.hostcert?",
    "site_name=x": "site_name: did you mean siteName?",
    "database_url=x": "database_url: did you mean database.url?",
    "prometheus.urls=x": "prometheus.urls: did you mean prometheus.url?",
    "qqq=x": "qqq: remove it",
}


@pytest.mark.parametrize(("setting", "said"), REFUSED.items())
def test_a_wrong_value_is_refused_with_what_to_write(setting: str, said: str) -> None:
    assert said in refusal(CHART, MINIMAL, settings=(setting,))


def test_no_refusal_repeats_a_secret() -> None:
    secrets = ("ssm.hostkey=s3cr3t", "database.url=postgresql://a:s3cr3t@db/a")
    said = refusal(CHART, MINIMAL, settings=secrets)
    assert "s3cr3t" not in said
    assert said.count("ssm.hostkey") == said.count("database.url") == 1


def test_without_a_certificate_it_is_said_that_measuring_alone_needs_none() -> None:
    given = ("siteName=A",)
    assert "or set push.enabled to false to measure only" in refusal(CHART, settings=given)
    assert render(CHART, settings=(*given, "push.enabled=false"))
    assert render(CHART, settings=(*given, "ssm.transport=dirq"))


def test_the_values_of_the_chart_egi_notebooks_accounting_are_translated_one_by_one() -> None:
    said = refusal(CHART, OLD)
    renamed: dict[str, Any] = yaml.safe_load((CHART / "files" / "renamed.yaml").read_text())
    unnamed = {key for key, text in renamed.items() if f"{key}: {text}" not in said}
    assert unnamed == set()
    assert "did you mean" not in said
    assert "remove it" not in said


def test_what_old_keys_are_translated_to_is_there() -> None:
    keys = yaml.safe_load((CHART / "files" / "keys.yaml").read_text())
    renamed = yaml.safe_load((CHART / "files" / "renamed.yaml").read_text())
    targets = re.findall(
        r"\b([a-z]+(?:\.[a-zA-Z]+)+|siteName|cloud\w+)", " ".join(renamed.values())
    )
    assert len(targets) > 15
    assert {target for target in targets if target not in keys} == set()
