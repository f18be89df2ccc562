"""What goes from one release to another: each row of the table in docs/operations.md."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chart.helm import ROOT
from tests.chart.umbrella import assembled
from tests.cluster.conftest import Cluster
from tests.cluster.release import Release, earlier, folder, minimal
from tests.hub.process import wait_for

ACCOUNTING, BACKUP = "notebooks-accounting", "notebooks-backup"
Test = Callable[..., None]
TRIED: set[str] = set()
"""The rows that have a test."""


def row(first: str) -> Callable[[Test], Test]:
    """A test of a row of the table, by the row's first cell."""
    TRIED.add(first)
    return lambda test: test


def kept(release: Release) -> dict[str, Any]:
    """Values of Secrets, and which volume each claim has."""
    secrets = release.objects("secrets")
    return {f"secret {one['metadata']['name']}": one["data"] for one in secrets} | claims(release)


def claims(release: Release) -> dict[str, Any]:
    """Of each claim which it is, and its volume."""
    return {
        f"claim {one['metadata']['name']}": (one["metadata"]["uid"], one["spec"].get("volumeName"))
        for one in release.objects("persistentvolumeclaims")
    }


def claim(release: Release) -> dict[str, Any]:
    (found,) = release.objects("persistentvolumeclaims")
    return found


def deployment(release: Release) -> dict[str, Any]:
    (found,) = release.deployments()
    return found


def strategy(release: Release) -> str:
    return str(deployment(release)["spec"]["strategy"]["type"])


def template(release: Release) -> dict[str, Any]:
    """What the pods are made from; Kubernetes makes new ones when it changes."""
    found: dict[str, Any] = deployment(release)["spec"]["template"]
    return found


def secret(cluster: Cluster, namespace: str, name: str) -> None:
    metadata = {"name": name, "namespace": namespace}
    data = {"key": "made up", "password": "made up", "tls.crt": "made up", "tls.key": "made up"}
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}
    cluster.client.apply(manifest)


def test_each_row_of_the_table_is_tried() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    table = text.partition("| change | what happens |")[2].partition("\n\n")[0]
    rows = set(re.findall(r"^\| ([^|]+?) \|", table, re.MULTILINE))
    assert rows == TRIED


@row("one version to the next")
@row("a version back (`helm rollback`)")
def test_a_chart_goes_up_from_each_earlier_version_and_back_again(
    release: Release, chart: str
) -> None:
    versions = earlier(chart)
    assert versions
    for package in versions:
        release.deploy(package, minimal(chart))
        before = kept(release)
        release.deploy(folder(chart), minimal(chart))
        assert release.available() == [True]
        assert before.items() <= kept(release).items(), "an upgrade keeps secrets and volumes"
        release.rollback(1)
        assert release.available() == [True]
        release.deploy(folder(chart), minimal(chart))
        assert release.available() == [True]
        release.uninstall()
    assert release.deployments() == []
    assert release.refusals() == []


ADDRESS = "https://notebooks.example.org/hub"
AT_THE_HUB: dict[str, object] = {"hub__enabled": True, "hub__publicUrl": ADDRESS}


def known_to_the_hub(cluster: Cluster, namespace: str) -> None:
    """The Secret in which the hub keeps the service's token."""
    data = {"hub.services.accounting.apiToken": "made up"}
    metadata = {"name": "hub", "namespace": namespace}
    cluster.client.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}
    )


@row("a chart that put the pages on the hub's host name unless `host` was given, to this one")
def test_pages_stay_where_they_are_until_it_is_said_where(
    release: Release, cluster: Cluster
) -> None:
    chart, values = folder(ACCOUNTING), minimal(ACCOUNTING)
    known_to_the_hub(cluster, release.namespace)
    release.deploy(earlier(ACCOUNTING)[0], values, **AT_THE_HUB)
    assert "hub.origin: shared to leave all as it is" in release.refused(
        chart, values, **AT_THE_HUB
    )
    assert release.available() == [True]
    release.deploy(chart, values, **AT_THE_HUB, hub__origin="shared")
    assert release.available() == [True]
    assert release.objects("ingresses", "apis/networking.k8s.io/v1") == []


@row("the same, with `host` given")
def test_pages_with_a_host_name_keep_it(release: Release, cluster: Cluster) -> None:
    """No chart that had `host` without the choice was released: this one stands in its place."""

    def shown() -> list[Any]:
        found = release.objects("ingresses", "apis/networking.k8s.io/v1")
        return [template(release), *(one["spec"]["rules"] for one in found)]

    given = {**AT_THE_HUB, "host": "usage.example.org"}
    known_to_the_hub(cluster, release.namespace)
    release.deploy(folder(ACCOUNTING), minimal(ACCOUNTING), **given)
    before = shown()
    release.deploy(folder(ACCOUNTING), minimal(ACCOUNTING), **given)
    assert release.available() == [True]
    assert before[1][0]["host"] == "usage.example.org"
    assert shown() == before


@row("other settings")
def test_other_settings_make_new_pods_and_a_rollback_the_old_ones(release: Release) -> None:
    chart = folder(ACCOUNTING)
    release.deploy(chart, minimal(ACCOUNTING))
    first = template(release)
    release.deploy(chart, minimal(ACCOUNTING))
    assert template(release) == first, "nothing changed: no restart"
    release.deploy(chart, minimal(ACCOUNTING), cloudComputeService="other.example.org")
    assert template(release) != first
    release.rollback(1)
    assert template(release) == first
    assert release.available() == [True]


@row("SQLite to PostgreSQL, or back")
def test_accounting_moves_to_postgresql_with_two_pods_and_back(
    release: Release, cluster: Cluster
) -> None:
    """The Deployment's strategy changes there and back: Recreate has no rollingUpdate."""
    chart = folder(ACCOUNTING)
    for name in ("accounting-db", "hostcert"):
        secret(cluster, release.namespace, name)
    release.deploy(chart, minimal(ACCOUNTING))
    before = claim(release)["metadata"]["uid"]
    assert strategy(release) == "Recreate"
    release.deploy(chart, chart / "ci" / "postgresql-values.yaml")
    assert strategy(release) == "RollingUpdate"
    assert deployment(release)["status"]["readyReplicas"] == 2
    release.deploy(chart, minimal(ACCOUNTING))
    assert strategy(release) == "Recreate"
    release.rollback(2)
    assert strategy(release) == "RollingUpdate"
    release.rollback(1)
    assert strategy(release) == "Recreate"
    assert claim(release)["metadata"]["uid"] == before


@row("more `replicas`")
def test_more_replicas_over_sqlite_are_refused_and_leave_what_runs(release: Release) -> None:
    release.deploy(folder(ACCOUNTING), minimal(ACCOUNTING))
    assert "replicas" in release.refused(folder(ACCOUNTING), minimal(ACCOUNTING), replicas=2)
    assert deployment(release)["spec"]["replicas"] == 1
    assert release.available() == [True]


@row("larger `persistence.size`")
def test_a_claim_grows_never_shrinks_and_stays_as_it_is(release: Release) -> None:
    def size() -> str:
        return str(claim(release)["spec"]["resources"]["requests"]["storage"])

    chart = folder(ACCOUNTING)
    release.deploy(chart, minimal(ACCOUNTING), persistence__size="2Gi")
    release.deploy(chart, minimal(ACCOUNTING))
    assert size() == "2Gi"
    release.deploy(chart, minimal(ACCOUNTING), persistence__size="3Gi")
    assert size() == "3Gi"
    said = release.refused(chart, minimal(ACCOUNTING), persistence__size="1Gi")
    assert "less than" in said
    assert size() == "3Gi"


@row("another `persistence.storageClass` or `accessModes`")
@pytest.mark.parametrize(
    "change",
    [{"persistence__storageClass": "other"}, {"persistence__accessModes": ["ReadWriteMany"]}],
)
def test_a_claim_is_not_changed_but_made_anew_after_its_deletion(
    release: Release, cluster: Cluster, change: dict[str, object]
) -> None:
    chart = folder(ACCOUNTING)
    release.deploy(chart, minimal(ACCOUNTING))
    assert "immutable" in release.refused(chart, minimal(ACCOUNTING), **change)
    release.uninstall()
    path = f"/api/v1/namespaces/{release.namespace}/persistentvolumeclaims"
    cluster.client.delete(f"{path}/{claim(release)['metadata']['name']}")
    wait_for(lambda: not release.objects("persistentvolumeclaims"), "the end of the claim")
    release.dry_run(chart, minimal(ACCOUNTING), **change)


@row("another release name, `fullnameOverride` or `nameOverride`")
def test_another_name_makes_new_objects_and_takes_the_old_claim_if_told(release: Release) -> None:
    chart = folder(ACCOUNTING)
    release.deploy(chart, minimal(ACCOUNTING))
    old = claim(release)
    release.deploy(chart, minimal(ACCOUNTING), fullnameOverride="other")
    names = {one["metadata"]["name"] for one in release.objects("persistentvolumeclaims")}
    assert names == {old["metadata"]["name"], "other"}
    settings = {"fullnameOverride": "third", "persistence__existingClaim": old["metadata"]["name"]}
    release.deploy(chart, minimal(ACCOUNTING), **settings)
    (volume,) = (
        one["persistentVolumeClaim"]
        for one in template(release)["spec"]["volumes"]
        if "persistentVolumeClaim" in one
    )
    assert volume["claimName"] == old["metadata"]["name"]
    assert release.available() == [True]


@row("`helm uninstall` and install again")
def test_what_was_accounted_outlives_its_release_and_is_found_again(release: Release) -> None:
    chart = folder(ACCOUNTING)
    release.deploy(chart, minimal(ACCOUNTING))
    before = kept(release)
    release.uninstall()
    assert "deletionTimestamp" not in claim(release)["metadata"]
    release.deploy(chart, minimal(ACCOUNTING))
    assert kept(release) == before


@row("a part switched off")
def test_a_part_switched_off_goes_and_its_claim_stays(
    cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    release = Release("egi", namespace, cluster.kubeconfig, cluster.client)
    chart = assembled(tmp_path)
    values = chart / "ci" / "beside-values.yaml"
    release.deploy(chart, values)
    assert release.available() == [True]
    before = claims(release)
    other = {"notebooks-monitoring__enabled": True, "notebooks-monitoring__hubUrl": "https://n.eu"}
    release.deploy(chart, values, **{"notebooks-accounting__enabled": False}, **other)
    names = {one["metadata"]["name"] for one in release.deployments()}
    assert names == {"notebooks-monitoring"}
    assert before.items() < claims(release).items(), "and monitoring's own"
    release.deploy(chart, values)
    # Kubernetes keeps a claim until the last pod that has it is gone.
    wait_for(lambda: claims(release) == before, "the end of monitoring's claim")


@row("a restore of backups, and any later upgrade")
def test_a_restore_runs_once_and_again_with_another_id_or_other_arguments(release: Release) -> None:
    def restores() -> set[str]:
        return {
            job["metadata"]["uid"]
            for job in release.objects("jobs", "apis/batch/v1")
            if job["metadata"]["labels"]["app.kubernetes.io/component"] == "restore"
            and job["status"].get("succeeded")
        }

    def restore(user: str, identifier: str) -> None:
        asked = {"restore__arguments": ["--user", user], "restore__id": identifier}
        release.deploy(folder(BACKUP), minimal(BACKUP), **asked)

    for number, (user, identifier) in enumerate((("alice", "1"), ("bob", "1"), ("bob", "2"))):
        restore(user, identifier)
        wait_for(lambda number=number: len(restores()) == number + 1, "the restore")  # type: ignore[misc]
        before = restores()
        restore(user, identifier)
        release.deploy(folder(BACKUP), minimal(BACKUP))
        assert restores() == before
    assert release.refusals() == []
