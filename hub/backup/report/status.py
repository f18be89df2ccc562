"""What is known of the backup between its runs, and as metrics."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from hub.backup.report.outcome import Outcome, State

KEY = "status.json"


@dataclass(frozen=True)
class Status:
    """The last results; times are Unix seconds, 0: never.

    Attributes:
        run_at: end of the last run, however it ended.
        run_seconds: how long it took.
        run_code: its exit code.
        success_at: end of the last run in which everything was kept.
        claims: number of claims in the last run, by state.
        oldest_at: the time of the last snapshot of the claim whose last snapshot is the oldest.
        files: in the volumes, at the last run.
        size_bytes: of them.
        added_bytes: that the last run added.
        repository_bytes: what everything takes in the repository.
        snapshots: how many there are.
        check_at: end of the last check.
        check_ok: whether it found everything right.
        drill_at: end of the last restore drill.
        drill_ok: whether all checksums were right.
    """

    run_at: float = 0
    run_seconds: float = 0
    run_code: int = 0
    success_at: float = 0
    claims: tuple[tuple[str, int], ...] = ()
    oldest_at: float = 0
    files: int = 0
    size_bytes: int = 0
    added_bytes: int = 0
    repository_bytes: int = 0
    snapshots: int = 0
    check_at: float = 0
    check_ok: bool = False
    drill_at: float = 0
    drill_ok: bool = False

    @classmethod
    def read(cls, text: str) -> "Status":
        """From its document; what cannot be read is as good as none."""
        try:
            fields = json.loads(text or "{}")
            claims = tuple((str(state), int(count)) for state, count in fields.pop("claims", ()))
            return cls(claims=claims, **fields)
        except (ValueError, TypeError, AttributeError):
            return cls()

    def written(self) -> str:
        """Its document, JSON."""
        return json.dumps(asdict(self), indent=1)

    def after_run(
        self, outcomes: Iterable[Outcome], code: int, began_at: float, now: float
    ) -> "Status":
        """What is known after a run."""
        outcomes = list(outcomes)
        states = [outcome.state for outcome in outcomes]
        return replace(
            self,
            run_at=now,
            run_seconds=now - began_at,
            run_code=code,
            success_at=now if code == 0 else self.success_at,
            claims=tuple((state.value, states.count(state)) for state in State),
            files=sum(outcome.files for outcome in outcomes),
            size_bytes=sum(outcome.size_bytes for outcome in outcomes),
            added_bytes=sum(outcome.added_bytes for outcome in outcomes),
        )


def metrics(status: Status) -> bytes:
    """In Prometheus' text format; no claim and no user is named. NaN stands for never."""
    registry = CollectorRegistry()

    def gauge(what: str, says: str, value: float) -> None:
        Gauge(f"notebooks_backup_{what}", says, registry=registry).set(value)

    def moment(what: str, says: str, at: float) -> None:
        gauge(f"{what}_timestamp_seconds", says, at or math.nan)

    moment("last_run", "End of the last run.", status.run_at)
    moment("last_success", "End of the last run that kept everything.", status.success_at)
    moment("oldest_claim", "Oldest among the claims' last snapshots.", status.oldest_at)
    moment("last_check", "End of the last check of the repository.", status.check_at)
    moment("last_drill", "End of the last restore drill.", status.drill_at)
    gauge("last_run_exit_code", "0 done, 1 failed, 3 incomplete.", status.run_code)
    gauge("last_run_duration_seconds", "How long the last run took.", status.run_seconds)
    gauge("last_check_success", "Whether it found everything right.", status.check_ok)
    gauge("last_drill_success", "Whether all checksums were right.", status.drill_ok)
    gauge("files", "Files in the volumes.", status.files)
    gauge("volumes_bytes", "Bytes of these files.", status.size_bytes)
    gauge("added_bytes", "Bytes that the last run added.", status.added_bytes)
    gauge("repository_bytes", "Bytes in the repository.", status.repository_bytes)
    gauge("snapshots", "Snapshots in the repository.", status.snapshots)
    claims = Gauge(
        "notebooks_backup_claims", "Claims in the last run.", ["state"], registry=registry
    )
    counted = dict(status.claims)
    for state in State:
        claims.labels(state.value).set(counted.get(state.value, 0))
    return generate_latest(registry)
