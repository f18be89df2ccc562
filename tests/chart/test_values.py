"""Values that would fail only later, or that come twice, in all charts."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart import helm, manifests
from tests.chart.helm import CHARTS, find, refusal, render

ACCOUNTING, BACKUP, MONITORING = (
    CHARTS / f"notebooks-{name}" for name in ("accounting", "backup", "monitoring")
)
ALONE = (ACCOUNTING, BACKUP, MONITORING)


def minimal(chart: Path) -> Path:
    return chart / "ci" / "minimal-values.yaml"


@pytest.fixture
def said(tmp_path: Path) -> "Said":
    return Said(tmp_path / "given.yaml")


class Said:
    """What a chart answers to values beside the smallest ones."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __call__(self, chart: Path, text: str) -> str:
        self._file.write_text(text)
        return refusal(chart, minimal(chart), self._file)

    def made(self, chart: Path, text: str) -> list[helm.Manifest]:
        self._file.write_text(text)
        return render(chart, minimal(chart), self._file)


WRONG = [
    (ACCOUNTING, "push: {schedule: nightly}", "push.schedule is 'nightly'", "'42 1 * * *'"),
    (ACCOUNTING, "push: {schedule: 99 1 * * *}", "push.schedule is '99 1 * * *'", "'42 1 * * *'"),
    (
        ACCOUNTING,
        "push: {timeZone: Mars/Phobos}",
        "push.timeZone is 'Mars/Phobos'",
        "Europe/Prague",
    ),
    (ACCOUNTING, "prometheus: {pod: 'jupyter-(a'}", "prometheus.pod is 'jupyter-(a'", "jupyter-.*"),
    (ACCOUNTING, "vo: {map: {'urn:[a': b}}", "vo.map is 'urn:[a'", "for example"),
    (ACCOUNTING, "vo: {privacy: {'*a': keep}}", "vo.privacy is '*a'", "for example"),
    (ACCOUNTING, "hub: {managerGroup: '(?P<vo>a'}", "hub.managerGroup is", "for example"),
    (ACCOUNTING, "hub: {managerGroup: 'a.*'}", "hub.managerGroup captures no VO", "(?P<vo>[^:]+)"),
    (
        ACCOUNTING,
        "settings: {pol: {step: 1h}}",
        "settings.pol.step is no setting",
        "settings.poll.step?",
    ),
    (ACCOUNTING, "settings: {site: A}", "settings.site is no setting", "docs/settings.md"),
    (ACCOUNTING, "settings: {poll: {stepp: 1h}}", "settings.poll.stepp", "settings.poll.step?"),
    (ACCOUNTING, "settings: {poll: {step: often}}", 'settings.poll.step is "often"', "example 6h"),
    (ACCOUNTING, "settings: {poll: {step: [1h]}}", 'settings.poll.step is ["1h"]', "example 6h"),
    (ACCOUNTING, "settings: {poll: {step: -5}}", "settings.poll.step is -5", "example 6h"),
    (ACCOUNTING, "settings: {log: {json: maybe}}", 'settings.log.json is "maybe"', "true"),
    (ACCOUNTING, "settings: {storage: {measure: {a: b}}}", "settings.storage.measure is", "true"),
    (ACCOUNTING, "settings: {ssm: {ams_port: many}}", 'settings.ssm.ams_port is "many"', "443"),
    (ACCOUNTING, "settings: {vo: {map: text}}", 'settings.vo.map is "text"', "takes a map"),
    (ACCOUNTING, "settings: {vo: {map: [a]}}", 'settings.vo.map is ["a"]', "takes a map"),
    (ACCOUNTING, "settings: {vo: {excluded_users: {a: b}}}", "settings.vo.excluded_users", "list"),
    (ACCOUNTING, "settings: {vo: {excluded_users: [[a]]}}", "settings.vo.excluded_users", "list"),
    (ACCOUNTING, "settings: {cloud_type: [a]}", 'settings.cloud_type is ["a"]', "EGI Notebooks"),
    (ACCOUNTING, "settings: {poll: 5}", "settings.poll is no setting", "docs/settings.md"),
    (
        ACCOUNTING,
        "vo: {privacy: {a: pseudonym}}",
        "vo.pseudonymKeySecret.name is not set",
        "kubectl",
    ),
    (ACCOUNTING, "vo: {userRetentionDays: 30}", "vo.pseudonymKeySecret.name is not set", "kubectl"),
    (
        ACCOUNTING,
        "eosc: {url: 'https://a', tokenUrl: 'https://b', clientId: c}",
        "eosc.clientSecret.name is not",
        "kubectl create secret generic eosc",
    ),
    (ACCOUNTING, "settings: {eosc: {url: 'https://a'}}", "eosc.tokenUrl is not", "/OIDC/token"),
    (
        ACCOUNTING,
        "{cim: {url: 'https://a', email: a@b}, settings: {energy: {enabled: true}}}",
        "cim.passwordSecret.name is not",
        "kubectl create secret generic cim",
    ),
    (
        ACCOUNTING,
        "cim: {url: 'https://a', email: a@b, passwordSecret: {name: cim}}",
        "no energy is measured",
        "settings: {energy: {enabled: true}}",
    ),
    (ACCOUNTING, "ingress: {enabled: true}", "ingress.hosts is empty", "accounting.example.org"),
    (
        ACCOUNTING,
        "httpRoute: {enabled: true}",
        "httpRoute.parentRefs is empty",
        "namespace: gateways",
    ),
    (BACKUP, "run: {schedule: daily}", "run.schedule is 'daily'", "'42 1 * * *'"),
    (BACKUP, "job: {timeZone: Local}", "job.timeZone is 'Local'", "'Etc/UTC'"),
    (BACKUP, "claims: claim-[", "claims is 'claim-['", "for example"),
]


@pytest.mark.parametrize(("chart", "given", "field", "example"), WRONG, ids=[w[1] for w in WRONG])
def test_what_would_fail_only_later_is_refused_with_field_and_example(
    said: Said, chart: Path, given: str, field: str, example: str
) -> None:
    answer = said(chart, given)
    assert field in answer
    assert example in answer


UNFIT_EVERYWHERE = [
    ("tolerations: [{key: a, operator: Is}]", "/tolerations/0/operator"),
    ("tolerations: [{name: a}]", "/tolerations/0"),
    ("tolerations: [{effect: Never}]", "/tolerations/0/effect"),
    ("topologySpreadConstraints: [{maxSkew: 1}]", "/topologySpreadConstraints/0"),
    ("affinity: {nodes: {}}", "/affinity"),
    ("probes: {liveness: {periodSeconds: 5s}}", "/probes/liveness/periodSeconds"),
    ("probes: {readiness: {period: 5}}", "/probes/readiness"),
    ("podLabels: {a: 'b c'}", "/podLabels/a"),
    ("podLabels: {'a b': c}", "/podLabels"),
    ("commonLabels: {a: -b}", "/commonLabels/a"),
    ("nodeSelector: {a: 'b c'}", "/nodeSelector/a"),
    ("podAnnotations: {'a b': c}", "/podAnnotations"),
    ("podSecurityContext: {runAs: 1}", "/podSecurityContext"),
    ("imagePullSecrets: [{secret: a}]", "/imagePullSecrets/0"),
    ("image: {repository: 'a b'}", "/image/repository"),
    ("image: {tag: 'a b'}", "/image/tag"),
    ("service: {type: Outside}", "/service/type"),
    ("podDisruptionBudget: {maxUnavailable: many}", "/podDisruptionBudget/maxUnavailable"),
    ("networkPolicy: {ingress: [{to: []}]}", "/networkPolicy/ingress/0"),
    ("networkPolicy: {scrapers: {pods: {a: 'b c'}}}", "/networkPolicy/scrapers/pods/a"),
    ("extraObjects: [{kind: Secret}]", "/extraObjects/0"),
]

# Cluster or program would refuse these, when some objects are installed already.
UNFIT = [
    (ACCOUNTING, "podAnnotations: {a: 1}", "/podAnnotations/a"),
    (ACCOUNTING, "podLabels: {a: true}", "/podLabels/a"),
    (ACCOUNTING, "nodeSelector: {a: true}", "/nodeSelector/a"),
    (ACCOUNTING, "service: {port: 0, annotations: {a: 1}}", "/service/port"),
    (ACCOUNTING, "service: {annotations: {a: 1}}", "/service/annotations/a"),
    (ACCOUNTING, "resources: {limits: {memory: lots}}", "/resources/limits/memory"),
    (ACCOUNTING, "push: {resources: {limits: {memory: 1GB}}}", "/push/resources/limits/memory"),
    (ACCOUNTING, "persistence: {size: big}", "/persistence/size"),
    (ACCOUNTING, "persistence: {accessModes: [RWO]}", "/persistence/accessModes/0"),
    (ACCOUNTING, "persistence: {existingClaim: A_B}", "/persistence/existingClaim"),
    (ACCOUNTING, "serviceAccount: {name: Bad_Name}", "/serviceAccount/name"),
    (ACCOUNTING, "priorityClassName: A_B", "/priorityClassName"),
    (ACCOUNTING, "podSecurityContext: {runAsUser: abc}", "/podSecurityContext/runAsUser"),
    (ACCOUNTING, "extraEnv: [{name: A, value: 1}]", "/extraEnv/0/value"),
    (ACCOUNTING, "initContainers: [{image: a}]", "/initContainers/0"),
    (ACCOUNTING, "serviceMonitor: {enabled: true, interval: often}", "/serviceMonitor/interval"),
    (ACCOUNTING, "ssm: {amsHost: 'https://msg.example.org'}", "/ssm/amsHost"),
    (ACCOUNTING, "ssm: {recordsPerMessage: 0}", "/ssm/recordsPerMessage"),
    (ACCOUNTING, "hub: {publicUrl: notebooks.example.org}", "/hub/publicUrl"),
    (ACCOUNTING, "vo: {map: {a: 1}}", "/vo/map/a"),
    (ACCOUNTING, "resources: {requests: [1]}", "/resources/requests"),
    (ACCOUNTING, "poll: {interval: 0s}", "/poll/interval"),
    (ACCOUNTING, "poll: {step: 0}", "/poll/step"),
    (ACCOUNTING, "ssm: {interval: -5}", "/ssm/interval"),
    (ACCOUNTING, "ssm: {amsPort: 0}", "/ssm/amsPort"),
    (ACCOUNTING, "ssm: {dirqPath: spool}", "/ssm/dirqPath"),
    (ACCOUNTING, "ssm: {certManager: {duration: a year}}", "/ssm/certManager/duration"),
    (ACCOUNTING, "ssm: {certManager: {dnsNames: ['a b']}}", "/ssm/certManager/dnsNames/0"),
    (ACCOUNTING, "ssm: {existingSecret: {name: A_B}}", "/ssm/existingSecret/name"),
    (ACCOUNTING, "database: {passwordSecret: {key: 'a b'}}", "/database/passwordSecret/key"),
    (ACCOUNTING, "cim: {email: nobody}", "/cim/email"),
    (ACCOUNTING, "vo: {excludedUsers: [[a]]}", "/vo/excludedUsers/0"),
    (ACCOUNTING, "vo: {userRetentionDays: -1}", "/vo/userRetentionDays"),
    (ACCOUNTING, "hub: {prefix: accounting}", "/hub/prefix"),
    (ACCOUNTING, "ingress: {hosts: ['https://a.example.org']}", "/ingress/hosts/0"),
    (ACCOUNTING, "ingress: {path: accounting}", "/ingress/path"),
    (ACCOUNTING, "ingress: {tls: [{secret: a}]}", "/ingress/tls/0"),
    (ACCOUNTING, "httpRoute: {parentRefs: [{namespace: a}]}", "/httpRoute/parentRefs/0"),
    (ACCOUNTING, "push: {activeDeadlineSeconds: 0}", "/push/activeDeadlineSeconds"),
    (ACCOUNTING, "push: {backoffLimit: -1}", "/push/backoffLimit"),
    (ACCOUNTING, "extraVolumes: [{secret: {}}]", "/extraVolumes/0"),
    (ACCOUNTING, "extraVolumeMounts: [{name: a}]", "/extraVolumeMounts/0"),
    (BACKUP, "resources: {limits: {memory: lots}}", "/resources/limits/memory"),
    (BACKUP, "workerResources: {limits: {memory: lots}}", "/workerResources/limits/memory"),
    (BACKUP, "lockWait: soon", "/lockWait"),
    (BACKUP, "volumeTimeout: 1 hour", "/volumeTimeout"),
    (BACKUP, "parallel: 0", "/parallel"),
    (BACKUP, "exclude: [[a]]", "/exclude/0"),
    (BACKUP, "restore: {arguments: [{a: b}]}", "/restore/arguments/0"),
    (BACKUP, "namespace: Hub", "/namespace"),
    (BACKUP, "keep: {daily: -1}", "/keep/daily"),
    (MONITORING, "hubUrl: notebooks.example.org", "/hubUrl"),
    (MONITORING, "interval: often", "/interval"),
    (MONITORING, "baseUrl: base", "/baseUrl"),
    (MONITORING, "historyDays: -1", "/historyDays"),
    (MONITORING, "interval: 0s", "/interval"),
    (MONITORING, "startDeadline: 0s", "/startDeadline"),
    (MONITORING, "slow: rather", "/slow"),
    (MONITORING, "stale: 0m", "/stale"),
    (MONITORING, "binderUrl: binder", "/binderUrl"),
    (MONITORING, "callbackUrl: callback", "/callbackUrl"),
    (MONITORING, "prefix: monitoring", "/prefix"),
    *((chart, given, field) for chart in ALONE for given, field in UNFIT_EVERYWHERE),
]


@pytest.mark.parametrize(
    ("chart", "given", "field"), UNFIT, ids=[f"{unfit[0].name} {unfit[1]}" for unfit in UNFIT]
)
def test_what_cluster_or_program_would_refuse_is_refused_by_its_field(
    said: Said, chart: Path, given: str, field: str
) -> None:
    assert f"at '{field}'" in said(chart, given)


@pytest.mark.parametrize(
    "given",
    ["*/15 0-6,22 1,15 jan-mar 1-5", "@daily", "0 0 * * sun", "@every 6h", "5  4 ? * *"],
)
def test_every_schedule_of_cron_is_taken(said: Said, given: str) -> None:
    made = said.made(ACCOUNTING, f"push: {{schedule: '{given}', timeZone: America/Lima}}")
    assert find(made, "CronJob")["spec"]["schedule"] == given


def test_patterns_of_python_are_taken(said: Said) -> None:
    """Helm's regular expressions have no look-around; the program's have."""
    assert said.made(ACCOUNTING, "vo: {map: {'urn:(?!a).*': b, '(x)|(?P<n>y)': c}}")


@pytest.mark.parametrize("chart", ALONE, ids=lambda chart: chart.name)
@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ("fullnameOverride: UPPER_case", "fullnameOverride is 'UPPER_case'"),
        ("nameOverride: a.b", "nameOverride: a-b'"),
        ("podSecurityContext: {runAsUser: 0}", "podSecurityContext.runAsUser is 0"),
        ("podSecurityContext: {seccompProfile: {type: Unconfined}}", "RuntimeDefault"),
    ],
)
def test_names_and_users_that_no_cluster_takes_are_refused(
    said: Said, chart: Path, given: str, answer: str
) -> None:
    assert answer in said(chart, given)


def sections(chart: Path) -> list[tuple[str, Any]]:
    known = yaml.safe_load((chart / "files" / "keys.yaml").read_text())
    return [(path, kind) for path, kind in known.items() if kind != "value"]


@pytest.mark.parametrize("chart", ALONE, ids=lambda chart: chart.name)
def test_every_section_and_default_that_is_set_to_null_is_refused_with_what_to_write(
    said: Said, chart: Path
) -> None:
    """All at once would hide those below a section, so: sections of the same depth, then values."""
    for depth in (1, 2, 3):
        for wanted in (True, False):
            chosen = {
                path: about
                for path, about in sections(chart)
                if path.count(".") == depth - 1 and (about == "section") is wanted
            }
            if not chosen:
                continue
            values: dict[str, Any] = {}
            for path in chosen:
                at = values
                *above, last = path.split(".")
                for step in above:
                    at = at.setdefault(step, {})
                at[last] = None
            answer = said(chart, yaml.safe_dump(values))
            for path, about in chosen.items():
                assert f"{path} is null" in answer, path
                example = "{}" if about == "section" else about["needed"]
                shown = str(example).lower() if isinstance(example, bool) else example
                assert f"for example '{path}: {shown}'" in answer, path


@pytest.mark.parametrize("chart", ALONE, ids=lambda chart: chart.name)
def test_other_keys_may_be_null(said: Said, chart: Path) -> None:
    known = yaml.safe_load((chart / "files" / "keys.yaml").read_text())
    needed = {"global", "enabled", "siteName", "ssm", "repository", "password", "hubUrl"}
    values = {
        path: None
        for path, about in known.items()
        if about == "value" and "." not in path and path not in needed
    }
    assert len(values) > 10
    made = said.made(chart, yaml.safe_dump(values))
    assert [fault for m in made for fault in manifests.faults(m, "1.37")] == []


@pytest.mark.parametrize("chart", ALONE, ids=lambda chart: chart.name)
def test_labels_and_annotations_of_the_operator_reach_every_pod_and_select_nothing(
    said: Said, chart: Path
) -> None:
    given = (
        "podLabels: {team: a, app.kubernetes.io/name: mine}\n"
        "podAnnotations: {note: b}\ncommonLabels: {owner: c}\n"
    )
    made = said.made(chart, given + RESTORE.get(chart.name, ""))
    for manifest in made:
        assert manifest["metadata"]["labels"]["owner"] == "c", manifest["metadata"]
    found = [template(manifest) for manifest in made if manifests.pods([manifest])]
    assert found
    for metadata in found:
        assert metadata["labels"]["team"] == "a"
        assert metadata["labels"]["owner"] == "c"
        assert metadata["labels"]["app.kubernetes.io/name"] == chart.name
        assert metadata["annotations"]["note"] == "b"


RESTORE = {"notebooks-backup": "restore: {arguments: [--all]}"}


def template(manifest: helm.Manifest) -> helm.Manifest:
    """The metadata of the pods that a manifest makes."""
    spec = manifest["spec"]
    spec = spec.get("jobTemplate", {}).get("spec", spec)
    return dict(spec.get("template", manifest)["metadata"])


@pytest.mark.parametrize("chart", ALONE, ids=lambda chart: chart.name)
def test_pods_listen_on_ipv6_too(chart: Path) -> None:
    made = render(chart, minimal(chart))
    (container,) = find(made, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["args"][:3] == ["serve", "--host", "::"]


def test_a_volume_without_a_class_and_of_any_mode(said: Said) -> None:
    made = said.made(ACCOUNTING, "persistence: {storageClass: '', accessModes: [ReadWriteOncePod]}")
    spec = find(made, "PersistentVolumeClaim")["spec"]
    assert (spec["storageClassName"], spec["accessModes"]) == ("", ["ReadWriteOncePod"])
    assert "storageClassName" not in str(render(ACCOUNTING, minimal(ACCOUNTING)))


def test_probes_grace_period_spread_and_more_objects_are_the_operators(said: Said) -> None:
    made = said.made(
        ACCOUNTING,
        """
terminationGracePeriodSeconds: 90
probes: {startup: {failureThreshold: 600}}
initContainers: [{name: wait, image: a}]
topologySpreadConstraints:
  - {maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}
extraObjects:
  - apiVersion: v1
    kind: ConfigMap
    metadata: {name: '{{ .Release.Name }}-more'}
  - |
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: {{ .Release.Name }}-text}
""",
    )
    pod = manifests.pods(made)["Deployment egi-notebooks-accounting"]
    assert pod["terminationGracePeriodSeconds"] == 90
    assert pod["containers"][0]["startupProbe"] == {
        "httpGet": {"path": "/healthz", "port": "http"},
        "periodSeconds": 5,
        "failureThreshold": 600,
    }
    assert pod["initContainers"][0]["name"] == "wait"
    (spread,) = pod["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"]["app.kubernetes.io/instance"] == "egi"
    assert find(made, "ConfigMap", "egi-more")
    assert find(made, "ConfigMap", "egi-text")


def test_who_scrapes_and_who_is_asked_are_different_settings(said: Said) -> None:
    made = said.made(
        ACCOUNTING,
        """
extraEnv: [{name: HTTPS_PROXY, value: 'http://proxy.example.org:3128'}]
networkPolicy:
  scrapers: {namespaces: {name: monitoring}, pods: {app: scraper}}
  queried: {namespaces: {name: thanos}, pods: {app: thanos}}
""",
    )
    spec = find(made, "NetworkPolicy")["spec"]
    assert "scraper" in str(spec["ingress"])
    assert "thanos" not in str(spec["ingress"])
    assert "thanos" in str(spec["egress"])
    assert "scraper" not in str(spec["egress"])
    names = {(rule["port"], rule["protocol"]) for rule in spec["egress"][0]["ports"]}
    assert names == {(port, protocol) for port in (53, 5353) for protocol in ("UDP", "TCP")}
    assert {"port": 3128} in spec["egress"][-1]["ports"]


def test_a_job_that_another_try_cannot_mend_is_not_tried_again(said: Said) -> None:
    made = said.made(ACCOUNTING, "push: {extraEnv: [{name: A, value: b}], podLabels: {mesh: 'no'}}")
    job = find(made, "CronJob")["spec"]["jobTemplate"]["spec"]
    (fails, ignores) = job["podFailurePolicy"]["rules"]
    (container,) = job["template"]["spec"]["containers"]
    assert fails["onExitCodes"] == {
        "containerName": container["name"],
        "operator": "In",
        "values": [2, 3],
    }
    assert ignores["action"] == "Ignore"
    assert {"name": "A", "value": "b"} in container["env"]
    assert job["template"]["metadata"]["labels"]["mesh"] == "no"


def test_the_service_is_reached_from_outside_by_ingress_or_route(said: Said) -> None:
    made = said.made(
        ACCOUNTING,
        """
ingress: {enabled: true, className: traefik, hosts: [usage.example.org]}
httpRoute: {enabled: true, parentRefs: [{name: public}], hostnames: [usage.example.org]}
networkPolicy: {gatewayNamespaces: {name: gateways}}
""",
    )
    service = find(made, "Service")["metadata"]["name"]
    (rule,) = find(made, "Ingress")["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert path["backend"]["service"] == {"name": service, "port": {"name": "http"}}
    (route,) = find(made, "HTTPRoute")["spec"]["rules"]
    assert route["backendRefs"] == [{"name": service, "port": 8000}]
    assert {"namespaceSelector": {"matchLabels": {"name": "gateways"}}} in find(
        made, "NetworkPolicy"
    )["spec"]["ingress"][0]["from"]


def test_a_certificate_of_cert_manager_has_the_whole_subject_of_a_grid_host(said: Said) -> None:
    text = """
ssm:
  hostcert: ''
  hostkey: ''
  certManager:
    enabled: true
    issuerRef: {name: site-ca}
    commonName: n.example.org
"""
    whole = "CN=n.example.org,O=Example,DC=example,DC=org"
    made = said.made(ACCOUNTING, f"{text}    literalSubject: {whole}\n")
    spec = find(made, "Certificate")["spec"]
    assert spec["literalSubject"] == whole
    assert "commonName" not in spec
    made = said.made(ACCOUNTING, f"{text}    subject: {{organizations: [Example]}}\n")
    spec = find(made, "Certificate")["spec"]
    assert (spec["commonName"], spec["subject"]) == (
        "n.example.org",
        {"organizations": ["Example"]},
    )
