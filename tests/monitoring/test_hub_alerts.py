"""The alerts of backup and monitor, from what these programs say over days."""

from dataclasses import replace
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from hub.backup.report.outcome import Outcome
from hub.backup.report.outcome import State as Kept
from hub.backup.report.status import Status
from hub.backup.report.status import metrics as backup_metrics
from hub.monitor.history import History
from hub.monitor.metrics import rendered
from hub.monitor.result import Run, State, verdict
from tests.monitoring.tape import STEP, Tape, fires, silent

HOUR, DAY = 3600, 86400
START = 1_800_000_000.0


def firing(alert: str, given: object) -> ParameterSet:
    """A case in which an alert fires."""
    return pytest.param(alert, given, marks=fires(alert))


def backup(*phases: tuple[float, Status]) -> Tape:
    """The exporter's scrapes: seconds, and what the last jobs wrote meanwhile."""
    tape = Tape("backup", START)
    for seconds, status in phases:
        shown = backup_metrics(Status.read(status.written())).decode()
        for _ in range(int(seconds / STEP)):
            tape.take(shown)
    return tape


def after(day: float, code: int = 0) -> Status:
    """What is known after a nightly run, the check and the drill."""
    ended = START + day * DAY
    outcomes = [Outcome("claim-alice", Kept.DONE if code == 0 else Kept.FAILED, "")]
    done = Status().after_run(outcomes, code, ended - 60, ended)
    return replace(done, oldest_at=ended, check_at=ended, check_ok=True)


@silent("backup")
def test_a_backup_that_goes_well_every_night_raises_nothing(tmp_path: Path) -> None:
    """From the installation on, ten hours before the first run."""
    nights = [(DAY, after(0.4 + night)) for night in range(4)]
    assert backup((10 * HOUR, Status()), *nights).fired(tmp_path) == set()


@fires("NotebooksBackupNeverWentWell")
def test_a_backup_that_never_ran_is_told_within_two_days(tmp_path: Path) -> None:
    assert backup((2 * DAY, Status())).fired(tmp_path) == {"NotebooksBackupNeverWentWell"}


def test_a_backup_that_fails_from_the_start_is_told(tmp_path: Path) -> None:
    failed = backup((10 * HOUR, Status()), (DAY, after(0.4, 1)), (DAY, after(1.4, 1)))
    assert failed.fired(tmp_path) == {"NotebooksBackupNeverWentWell"}


@fires("NotebooksBackupTooOld", "NotebooksBackupClaimForgotten")
def test_a_backup_that_stopped_is_told(tmp_path: Path) -> None:
    tape = backup((10 * HOUR, Status()), (5 * DAY, after(0.4)))
    assert tape.fired(tmp_path) == {"NotebooksBackupTooOld", "NotebooksBackupClaimForgotten"}


@fires("NotebooksBackupDamaged")
@pytest.mark.parametrize(
    "broken", [{"check_ok": False}, {"drill_at": START + 60, "drill_ok": False}]
)
def test_a_check_or_drill_that_fails_is_told(tmp_path: Path, broken: dict[str, float]) -> None:
    status = replace(after(0.01), **broken)  # type: ignore[arg-type] # of a test
    assert backup((HOUR, status)).fired(tmp_path) == {"NotebooksBackupDamaged"}


def monitor(folder: Path, *phases: tuple[float, State | None]) -> Tape:
    """The monitor's scrapes: seconds, and how the runs of each hour ended meanwhile."""
    tape = Tape("monitoring", START)
    history = History(folder / "monitor.db", 1)
    now, last = START, None
    for seconds, state in phases:
        for n in range(int(seconds / STEP)):
            if state is not None and n % 12 == 0:
                last = Run("notebook", now, state, "", (("start", 60.0),))
            known = [verdict("notebook", last, now, 2 * HOUR)]
            tape.take(rendered(known, history).decode())
            now += STEP
    return tape


@silent("monitoring")
def test_a_monitor_that_finds_all_well_raises_nothing(tmp_path: Path) -> None:
    """Its first run takes up to a quarter of an hour."""
    tape = monitor(
        tmp_path, (10 * 60, None), (DAY, State.OK), (HOUR, State.WARNING), (DAY, State.OK)
    )
    assert tape.fired(tmp_path) == set()


@pytest.mark.parametrize(
    ("told", "state"),
    [
        firing("NotebooksCannotBeStarted", State.CRITICAL),
        firing("NotebooksStartSlowly", State.WARNING),
        firing("NotebooksNotChecked", None),
    ],
)
def test_what_the_monitor_finds_is_told(tmp_path: Path, told: str, state: State | None) -> None:
    tape = monitor(tmp_path, (HOUR, State.OK), (5 * HOUR, state))
    assert tape.fired(tmp_path) == {told}


@pytest.mark.parametrize(
    ("told", "part"),
    [firing("NotebooksBackupAbsent", "backup"), firing("NotebooksMonitorAbsent", "monitoring")],
)
def test_a_program_that_is_not_there_is_told(tmp_path: Path, told: str, part: str) -> None:
    assert Tape(part, START, length=12).fired(tmp_path) == {told}
