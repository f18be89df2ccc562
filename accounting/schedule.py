"""Settings become working parts, and a loop polls with them until it is told to stop."""

import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from accounting import collect
from accounting.backoff import Backoff
from accounting.collect import Options, Poller
from accounting.config import PREFIX, Settings
from accounting.database import Database
from accounting.erasure import expire_users
from accounting.errors import AccountingError, Busy, SettingsError, SourceError
from accounting.ledger import Ledger
from accounting.messages import Messages
from accounting.model import Month
from accounting.outbox import Outbox
from accounting.prometheus import Source
from accounting.register import Register, Selection
from accounting.telemetry import RESULTS, Metrics, Standing

if TYPE_CHECKING:
    from accounting.deliver import Pusher
    from ssm.sender import Sender

log = structlog.get_logger(__name__)

LONGEST_BACKOFF_SECONDS = 1800.0
_DAY = 86400.0


def source_of(settings: Settings) -> Source:
    """The metrics source.

    Raises:
        SettingsError: the CA file cannot be used.
    """
    prometheus = settings.prometheus
    try:
        return Source(
            prometheus.url,
            timeout_seconds=prometheus.timeout,
            token_file=prometheus.token_file,
            ca_file=prometheus.ca_file,
        )
    except OSError as exc:  # ssl.SSLError is one
        raise SettingsError(
            f"{PREFIX}PROMETHEUS__CA_FILE: {prometheus.ca_file} cannot be used:"
            f" {exc.strerror or 'no certificates in it'}",
            "give a PEM file with the certificate authority of Prometheus",
        ) from exc


def poller_of(settings: Settings, database: Database, source: Source) -> Poller:
    """The poller.

    Raises:
        SettingsError: a setting that polling needs is missing.
    """
    options = Options(
        step_seconds=int(settings.poll.step),
        scrape_seconds=settings.prometheus.scrape_interval,
        history_days=settings.poll.history_days,
    )
    return Poller(
        Ledger(database),
        source,
        settings.scope(),
        settings.site(),
        settings.vo_rules(),
        options=options,
    )


def forgetter_of(settings: Settings, database: Database) -> Callable[[float], int]:
    """Replaces user names that are older than the retention, if one is set (I3).

    Returns:
        What takes the time now, Unix seconds, and returns in how many pods it replaced them.
    """
    days = settings.vo.user_retention_days

    def forget(now: float) -> int:
        if days is None:
            return 0
        return expire_users(database, now - days * _DAY, open_from(settings, now))

    return forget


def sender_of(settings: Settings) -> "Sender":
    """Where messages go.

    Raises:
        SettingsError: a name that cannot be part of the broker's addresses.
    """
    # Polling does without the broker's client and its libraries.
    from ssm.ams import AmsSettings  # noqa: PLC0415
    from ssm.sender import AmsSender, DirqSender  # noqa: PLC0415

    ssm = settings.ssm
    if ssm.transport == "dirq" and ssm.dirq_path is not None:
        return DirqSender(ssm.dirq_path)
    try:
        broker = AmsSettings(
            host=ssm.ams_host,
            project=ssm.ams_project,
            topic=ssm.ams_topic,
            port=ssm.ams_port,
            authn_port=ssm.authn_port,
            ca_file=ssm.ca_file,
            connect_seconds=ssm.connect_timeout,
            timeout_seconds=ssm.timeout,
            total_seconds=ssm.total_timeout,
            suspect_bytes=ssm.split_above_bytes,
        )
    except ValueError as exc:
        raise SettingsError(
            f"{PREFIX}SSM__AMS_HOST, …__AMS_PROJECT or …__AMS_TOPIC is wrong: {exc}",
            f"for example {PREFIX}SSM__AMS_HOST=msg.argo.grnet.gr",
        ) from exc
    return AmsSender(broker, ssm.hostcert, ssm.hostkey, receiver_cert_path=ssm.servercert)


def pusher_of(settings: Settings, database: Database, *, at_once: bool = False) -> "Pusher":
    """What delivers.

    Args:
        settings: the service's.
        database: the outbox's.
        at_once: do not wait for the next try that a failure has put off.

    Raises:
        SettingsError: a name that cannot be part of the broker's addresses.
    """
    from accounting.deliver import Policy, Pusher  # noqa: PLC0415 - as for sender_of

    ssm = settings.ssm
    policy = Policy(
        records_per_message=ssm.records_per_message,
        close_after_seconds=settings.record.close_after,
        backoff=Backoff(ssm.retry_first, ssm.retry_longest),
        probe_seconds=ssm.probe_after,
        settle_seconds=ssm.total_timeout,
        at_once=at_once,
    )
    return Pusher(Outbox(database), sender_of(settings), policy)


def open_from(settings: Settings, now: float) -> Month:
    """The first month that is not closed: corrections of earlier ones wait for ``republish``."""
    return Month.of(now - settings.record.close_after)


def standing_of(settings: Settings, database: Database, now: float) -> Standing:
    """How things stand at ``now`` (Unix seconds).

    Raises:
        DatabaseError: the database cannot be read.
    """
    messages, first = Messages(database), open_from(settings, now)
    progress = Ledger(database).progress()
    oldest = messages.oldest_pending_at()
    return Standing(
        lag_seconds=None if progress is None else now - progress.watermark,
        due=Outbox(database).due_count(first),
        messages={state.value: count for state, count in messages.counts().items()},
        oldest_seconds=0.0 if oldest is None else now - oldest,
        held=Register(database).held(),
        last_push_at=messages.last_sent_at(),
        certificate_days=_certificate_days(settings, now),
        stopped=sum(1 for found in messages.destinations() if found.stop),
        late=Register(database).count(Selection(differing=True, open_from=first)),
    )


def _certificate_days(settings: Settings, now: float) -> float | None:
    if settings.ssm.transport != "ams":
        return None
    from ssm.certificate import HostCertificate  # noqa: PLC0415 - as above
    from ssm.errors import CertificateError  # noqa: PLC0415

    try:
        host = HostCertificate.load(settings.ssm.hostcert, settings.ssm.hostkey)
    except CertificateError:
        return None
    return host.days_left(datetime.fromtimestamp(now, UTC))


@dataclass(frozen=True, slots=True)
class Polled:
    """How a poll of the loop ended.

    Attributes:
        result: one of ``telemetry.RESULTS``.
        report: what it read; None if it failed or was stopped.
        forgotten: in how many pods user names were replaced.
        error: why it failed.
    """

    result: str
    report: collect.Report | None = None
    forgotten: int = 0
    error: AccountingError | None = None


class _Stopped(Exception):
    """Ends a poll between two windows."""


class PollLoop:
    """Polls every so often, one poll at a time, and waits longer after failures.

    A source that does not answer is asked again after the interval, then after twice as long, up
    to half an hour; the windows covered before are kept, so nothing is lost by that.

    Args:
        poller: does one poll.
        interval_seconds: between the starts of two polls.
        settle_seconds: how far behind the present polls end.
        metrics: told of every window and poll.
        clock: tells Unix time.
        forget: called after each poll; returns in how many pods user names were replaced.
    """

    def __init__(
        self,
        poller: Poller,
        *,
        interval_seconds: float,
        settle_seconds: float,
        metrics: Metrics,
        clock: Callable[[], float] = time.time,
        forget: Callable[[float], int] = lambda _now: 0,
    ) -> None:
        self.interval_seconds = interval_seconds
        self.progress_at: float | None = None
        self.error: AccountingError | None = None
        self._poller = poller
        self._settle_seconds = settle_seconds
        self._metrics = metrics
        self._clock = clock
        self._forget = forget
        self._stop = threading.Event()
        self._turn = threading.Lock()
        self._failures = 0

    @property
    def allowed_seconds(self) -> float:
        """How old the last progress may be before the service no longer counts as ready."""
        return max(3 * self.interval_seconds, 2 * 60.0)

    def stop(self) -> None:
        """End after the current window."""
        self._stop.set()

    def run(self) -> None:
        """Poll until told to stop."""
        while not self._stop.is_set():
            started = time.monotonic()
            self.poll_once()
            self._stop.wait(max(0.0, self.delay_seconds - (time.monotonic() - started)))

    @property
    def delay_seconds(self) -> float:
        """From the start of the last poll to the next."""
        waits = self.interval_seconds * 2.0 ** min(max(self._failures - 1, 0), 16)
        return min(waits, max(self.interval_seconds, LONGEST_BACKOFF_SECONDS))

    def poll_once(self, notice: collect.Notice = lambda _: None) -> Polled:
        """One poll; its failure is logged, counted and returned, and never raised.

        Args:
            notice: called after each window.
        """
        with self._turn:
            until = int(self._clock() - self._settle_seconds)
            with self._metrics.poll_seconds.time():
                polled = self._tried(until, notice)
            if polled.result in RESULTS:
                self._metrics.polls.labels(polled.result).inc()
            return polled

    def _tried(self, until: int, notice: collect.Notice) -> Polled:
        try:
            return self._poll(until, notice)
        except _Stopped:
            return Polled("stopped")
        except Busy as exc:
            log.warning("poll left to another process", problem=exc.message)
            return Polled("busy", error=exc)
        except AccountingError as exc:
            self._failed(exc)
            return Polled("unavailable" if isinstance(exc, SourceError) else "failed", error=exc)
        except Exception as exc:  # noqa: BLE001 - the loop must outlive any of them
            # The loop must outlive what nobody thought of; the next poll starts anew.
            error = unexpected(exc)
            self._failed(error)
            return Polled("failed", error=error)

    def _poll(self, until: int, tell: collect.Notice) -> Polled:
        seen = collect.Report(0, 0)

        def notice(report: collect.Report) -> None:
            nonlocal seen
            self._count(seen, report)
            seen = _copy(report)
            self.progress_at = self._clock()
            tell(report)
            if self._stop.is_set():
                raise _Stopped

        report = self._poller.poll(until, notice=notice)
        forgotten = self._forget(self._clock())
        self._failures, self.error = 0, None
        self.progress_at = self._clock()
        self._metrics.last_poll.set(self.progress_at)
        self._metrics.silent_since.set(report.silent_since or 0)
        log.info(
            "polled",
            windows=report.windows,
            pods=len(report.pods),
            gaps=len(report.gaps),
            held=len(report.held),
            rejected=report.rejected.total(),
            forgotten=forgotten,
            until=report.end,
        )
        return Polled("done" if report.is_complete else "incomplete", report, forgotten)

    def _count(self, before: collect.Report, report: collect.Report) -> None:
        self._metrics.windows.inc(report.windows - before.windows)
        self._metrics.gaps.inc(len(report.gaps) - len(before.gaps))
        for rejected, count in (report.rejected - before.rejected).items():
            self._metrics.reject(rejected.reason, count)

    def _failed(self, error: AccountingError) -> None:
        self._failures += 1
        self.error = error
        log.error(
            "poll failed",
            problem=error.message,
            cure=error.cure,
            next_seconds=round(self.delay_seconds),
        )


def unexpected(exc: Exception) -> AccountingError:
    """Where it happened; its own text may hold user names, which are for debugging only (I3)."""
    log.debug("unexpected", exc_info=exc)
    frame = traceback.extract_tb(exc.__traceback__)[-1]
    return AccountingError(
        f"unexpected {type(exc).__name__} in {frame.name}, {Path(frame.filename).name}"
        f" line {frame.lineno}",
        f"please report this; {PREFIX}LOG__LEVEL=debug logs the traceback",
    )


def _copy(report: collect.Report) -> collect.Report:
    return replace(report, gaps=list(report.gaps), rejected=report.rejected.copy())
