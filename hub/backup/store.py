"""Where the status is kept between runs: a ConfigMap of the cluster, or a file."""

from pathlib import Path

from hub.backup.kubernetes.cluster import Cluster
from hub.backup.report.status import KEY, Status, metrics
from hub.backup.settings import BackupSettings
from hub.program.failure import Failure


async def load_status(settings: BackupSettings, cluster: Cluster | None, namespace: str) -> Status:
    """What is known so far; nothing, if nothing is kept yet."""
    if cluster is not None and settings.status_configmap:
        data = await cluster.read_document(namespace, settings.status_configmap)
        return Status.read(data.get(KEY, ""))
    return read_status(settings.status_file)


async def save_status(
    settings: BackupSettings, cluster: Cluster | None, namespace: str, status: Status
) -> None:
    """Keep what is known now.

    Raises:
        Failure: a file cannot be written.
    """
    if cluster is not None and settings.status_configmap:
        name = settings.status_configmap
        await cluster.write_document(namespace, name, {KEY: status.written()})
    if settings.status_file:
        _replace(settings.status_file, status.written().encode())
    if settings.metrics_file:
        _replace(settings.metrics_file, metrics(status))


def read_status(path: Path | None) -> Status:
    """The status in a file; none, if there is no such file yet."""
    try:
        return Status.read(path.read_text(encoding="utf-8") if path else "")
    except OSError:
        return Status()


def _replace(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.write_bytes(content)
        fresh.chmod(0o644)
        fresh.replace(path)
    except OSError as exc:
        raise Failure(
            f"{path} cannot be written: {exc.strerror}",
            "see the settings status_file, metrics_file",
        ) from exc
