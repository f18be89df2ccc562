"""Helm releases in a real cluster: install, upgrade, roll back, uninstall."""

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
        given = [argument for file in values for argument in ("--values", file)]
        for key, value in settings.items():
            given += ["--set-json", f"{key.replace('__', '.')}={value}"]
        self._run("upgrade", "--install", self.name, chart, *given, *WAIT)

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

    def dry_run(self, chart: Path, *values: Path) -> subprocess.CompletedProcess[str]:
        """Let the API server judge all manifests without keeping any."""
        given = [argument for file in values for argument in ("--values", file)]
        return self._helm("upgrade", "--install", self.name, chart, *given, "--dry-run=server")

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

    def _helm(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return helm.run(*arguments, "--namespace", self.namespace, kubeconfig=self.kubeconfig)

    def _run(self, *arguments: str | Path) -> None:
        done = self._helm(*arguments)
        assert done.returncode == 0, done.stderr
