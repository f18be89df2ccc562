"""Helm releases in a real cluster: install, upgrade, roll back, uninstall."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chart import helm
from tests.hub.process import wait_for
from tests.kubernetes.client import Client

RELEASES = Path(__file__).parent / "releases"
CHARTS = ("notebooks-accounting", "notebooks-backup", "notebooks-monitoring")
WAIT = ("--wait", "--timeout", "90s")


def folder(chart: str) -> Path:
    """A chart as it is now."""
    return helm.CHARTS / chart


def minimal(chart: str) -> Path:
    """The smallest values of a chart."""
    return folder(chart) / "ci" / "minimal-values.yaml"


def earlier(chart: str) -> list[Path]:
    """The packages of a chart that were released before, the oldest first."""
    return sorted(RELEASES.glob(f"{chart}-*.tgz"))


@dataclass(frozen=True)
class Release:
    """A release of one chart by a name in a namespace."""

    name: str
    namespace: str
    kubeconfig: Path
    client: Client

    def deploy(self, chart: Path, *values: Path, **settings: object) -> None:
        """Install or upgrade, and wait until all of it is ready."""
        done = self._upgrade(chart, values, settings, *WAIT)
        assert done.returncode == 0, done.stderr

    def rollback(self, revision: int) -> None:
        """Go back to an earlier revision, and wait until all of it is ready."""
        self._run("rollback", self.name, str(revision), *WAIT)

    def uninstall(self) -> None:
        self._run("uninstall", self.name, *WAIT)

    def objects(self, plural: str, group: str = "api/v1") -> list[dict[str, Any]]:
        """The release's objects of a kind."""
        path = f"/{group}/namespaces/{self.namespace}/{plural}"
        return self.client.list(path, labelSelector=f"app.kubernetes.io/instance={self.name}")

    def deployments(self) -> list[dict[str, Any]]:
        return self.objects("deployments", "apis/apps/v1")

    def available(self) -> list[bool]:
        """Of each Deployment, whether enough of its pods are ready."""
        return [
            any(
                one["type"] == "Available" and one["status"] == "True"
                for one in deployment["status"].get("conditions", [])
            )
            for deployment in self.deployments()
        ]

    def refusals(self) -> list[str]:
        """What controllers could not create in the namespace, in the words of the API server.

        Not what two of them wrote at once, such as a quota: they try that again by themselves.
        """
        path = f"/api/v1/namespaces/{self.namespace}/events"
        return [
            event["message"]
            for event in self.client.list(path)
            if event["type"] == "Warning"
            and event["reason"].startswith("FailedCreate")
            and "the object has been modified" not in event["message"]
        ]

    def refused(self, chart: Path, *values: Path, **settings: object) -> str:
        """What Helm or the API server says against an upgrade that must fail."""
        done = self._upgrade(chart, values, settings, *WAIT)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def dry_run(self, chart: Path, *values: Path, **settings: object) -> None:
        """Let the API server judge all manifests without keeping any."""
        done = self._upgrade(chart, values, settings, "--dry-run=server")
        assert done.returncode == 0, done.stderr

    def job_of(self, cronjob: str) -> dict[str, Any]:
        """The first Job that a CronJob made, once it is complete."""
        path = f"/apis/batch/v1/namespaces/{self.namespace}/jobs"

        def made() -> list[dict[str, Any]]:
            return [
                job
                for job in self.client.list(path)
                if job["metadata"].get("ownerReferences", [{}])[0].get("name") == cronjob
                and job["status"].get("succeeded")
            ]

        wait_for(lambda: bool(made()), f"a Job of {cronjob}", 150)
        return made()[0]

    def _upgrade(
        self, chart: Path, values: tuple[Path, ...], settings: dict[str, object], *how: str
    ) -> subprocess.CompletedProcess[str]:
        given = [argument for file in values for argument in ("--values", file)]
        for key, value in settings.items():
            given += ["--set-json", f"{key.replace('__', '.')}={json.dumps(value)}"]
        return self._helm("upgrade", "--install", self.name, chart, *given, *how)

    def _helm(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return helm.run(*arguments, "--namespace", self.namespace, kubeconfig=self.kubeconfig)

    def _run(self, *arguments: str | Path) -> None:
        done = self._helm(*arguments)
        assert done.returncode == 0, done.stderr
