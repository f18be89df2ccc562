"""Runs: jobs in the background that the API starts, one at a time, and that can be followed.

Their results are in the database; their outcomes are kept in memory for a while. A restart ends a
run as a crash would: what was committed stays, and the next run continues from there.
"""

import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from accounting.errors import AccountingError
from accounting.model.jobs import Ending, JobKind, RunState
from accounting.service.jobs import unexpected
from accounting.service.outcome import DONE, Outcome, of_error
from accounting.service.progress import Notice

log = structlog.get_logger(__name__)

_MOST = 100


@dataclass(slots=True)
class Run:
    """One job, under way or ended; times are Unix seconds.

    Attributes:
        progress: figures on the way, for people.
        outcome: how it ended; None while it runs.
        asked: what exactly was asked for, for who may see it; it may name a user.
    """

    id: str
    kind: JobKind
    begun_at: float
    ended_at: float | None = None
    progress: Mapping[str, Any] = field(default_factory=dict)
    outcome: Outcome | None = None
    asked: Any = None
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def state(self) -> RunState:
        """How far it has come."""
        if self.outcome is None:
            return RunState.RUNNING
        if self.outcome.exit_code == DONE:
            return RunState.DONE
        return RunState.FAILED if self.outcome.error is not None else RunState.INCOMPLETE


Job = Callable[[Notice], Outcome]


class Underway(AccountingError):
    """Another run has not ended yet.

    Attributes:
        run: that one.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(f"a {run.kind} is under way", "wait until it has ended")
        self.run = run


class Runs:
    """Starts jobs, each in a thread of its own, and remembers them.

    Args:
        clock: tells Unix time.
        note: told of every run that has ended.
    """

    def __init__(
        self, clock: Callable[[], float], note: Callable[[Run], None] = lambda _: None
    ) -> None:
        self._clock = clock
        self._note = note
        self._lock = threading.Lock()
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._thread: threading.Thread | None = None

    def start(self, kind: JobKind, job: Job, asked: Any = None) -> Run:
        """Start a job.

        Raises:
            Underway: another one has not ended yet.
        """
        with self._lock:
            for known in self._runs.values():
                if known.outcome is None:
                    raise Underway(known)
            run = Run(uuid.uuid4().hex[:12], kind, self._clock(), asked=asked)
            self._runs[run.id] = run
            if len(self._runs) > _MOST:
                self._runs.popitem(last=False)
            self._thread = threading.Thread(
                target=self._run, args=(run, job), name=f"run {run.id}", daemon=True
            )
            self._thread.start()
        return run

    def _run(self, run: Run, job: Job) -> None:
        def notice(progress: Mapping[str, Any]) -> None:
            run.progress = progress

        with structlog.contextvars.bound_contextvars(run=run.id):
            log.info("run begins", kind=run.kind.value)
            try:
                outcome = job(notice)
            except AccountingError as exc:
                outcome = of_error(exc)
            except Exception as exc:  # noqa: BLE001 - whoever follows the run must be told
                outcome = Outcome(Ending.FAILED, error=unexpected(exc))
            with self._lock:
                run.ended_at = self._clock()
                run.outcome = outcome
            error = outcome.error
            log.info(
                "run ended",
                kind=run.kind.value,
                state=run.state.value,
                seconds=round(run.ended_at - run.begun_at, 3),
                **({"problem": error.message, "cure": error.cure} if error else {}),
            )
        self._note(run)
        run.ended.set()

    def find(self, name: str) -> Run | None:
        """A run by its id; None if it is not known any more."""
        with self._lock:
            return self._runs.get(name)

    def latest(self) -> list[Run]:
        """All runs that are remembered, the latest first."""
        with self._lock:
            return list(reversed(self._runs.values()))

    def close(self, wait_seconds: float) -> None:
        """Give the run that is under way some time to end."""
        if self._thread is not None:
            self._thread.join(wait_seconds)
