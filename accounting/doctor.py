"""Every precondition, checked, with what to do about it.

A check that needs what a failed one found missing is left out: one cause, one finding.
"""

import math
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Any

from accounting import queries
from accounting.config import Settings
from accounting.database import Database
from accounting.errors import AccountingError
from accounting.ledger import Ledger
from accounting.model import Window
from accounting.prometheus import Source
from accounting.queries import Scope
from accounting.samples import Row
from accounting.schedule import sender_of, source_of
from ssm.certificate import HostCertificate
from ssm.errors import SsmError

ALLOWLIST = (
    "--metric-annotations-allowlist="
    "pods=[hub.jupyter.org/username,egi.eu/primary_group,egi.eu/flavor]"
)

_DAY = 86400
_RECENT_SECONDS = 900
_STALE_SECONDS = 300
_SLOW_SCRAPE_SECONDS = 90
_DRIFT = 1.5
_DETAILS_SECONDS = 10.0
_OK = 200

_RETENTION = re.compile(r"(\d+)([smhdwy])")
_RETENTION_UNITS = {"s": 1, "m": 60, "h": 3600, "d": _DAY, "w": 7 * _DAY, "y": 365 * _DAY}


class State(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; ``cure`` is empty where nothing needs to be done."""

    name: str
    state: State
    what: str
    cure: str = ""


def examine(settings: Settings, now: float | None = None) -> Iterator[Finding]:
    """All checks, one after the other.

    Args:
        settings: what is to be checked.
        now: Unix time; the clock's if not given.
    """
    at = time.time() if now is None else now
    yield from _guarded("settings", lambda: _settings(settings))
    yield from _guarded("Prometheus", lambda: _metrics(settings, at))
    yield from _guarded("database", lambda: _database(settings))
    yield from _guarded("certificate", lambda: _delivery(settings, at))


def _guarded(name: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Turn an error into the finding that it is."""
    try:
        yield from check()
    except (AccountingError, SsmError) as exc:
        yield Finding(name, State.FAILED, exc.message, exc.cure)


def _settings(settings: Settings) -> Iterator[Finding]:
    site = settings.site()
    settings.vo_rules()
    yield Finding("settings", State.OK, f"records are of the site {site.name}")


def _metrics(settings: Settings, now: float) -> Iterator[Finding]:
    with source_of(settings) as source:
        # The same way that a poll asks, so that its errors and cures are the same.
        source.vector("vector(1)", now)
        with closing(_Details(settings)) as details:
            yield details.engine()
            yield from _guarded("metrics", lambda: _cluster(settings, source, details, now))


def _cluster(
    settings: Settings, source: Source, details: "_Details", now: float
) -> Iterator[Finding]:
    scope, style = _spelled(settings.scope(), source, now)
    patient = _Patient(source, scope, now)
    state = patient.state_metrics(details)
    yield state
    if state.state is not State.FAILED:
        yield style
        yield patient.scrape_interval(settings.prometheus.scrape_interval)
        yield patient.owners()
    yield patient.kubelets(details)
    yield from patient.cpu_level()
    yield from _retention(settings, details, now)


def _spelled(scope: Scope, source: Source, now: float) -> tuple[Scope, Finding]:
    """The scope with this cluster's spelling of labels, and whether that is the usual one."""
    state = _exported(source.label_names("kube_pod_status_phase", now - _DAY, now))
    used = _exported(source.label_names(_CPU, now - _DAY, now))
    if not state | used:
        finding = Finding("labels", State.OK, "labels are as the exporters wrote them")
    else:
        names = ", ".join(f"exported_{name}" for name in sorted(state | used))
        finding = Finding(
            "labels", State.OK, f"the scrape does not honour labels; {names} are read instead"
        )
    # A poll leaves pods out by name itself; here the counts are all that is asked for.
    spelled = replace(scope, exported_state=state, exported_usage=used, among_many=True)
    return spelled, finding


def _exported(names: Iterable[str]) -> frozenset[str]:
    return frozenset(n.removeprefix("exported_") for n in names if n.startswith("exported_"))


_CPU = "container_cpu_usage_seconds_total"


class _Patient:
    """A cluster's metrics at one moment."""

    def __init__(self, source: Source, scope: Scope, now: float) -> None:
        self._source = source
        self._scope = scope
        self._now = now
        self._day = Window(int(now) - _DAY, int(now))

    def _ask(self, query: str) -> list[Row]:
        return self._source.vector(query, self._now)

    def _number(self, query: str) -> float:
        rows = self._ask(query)
        return rows[0][1] if rows else 0.0

    def _age(self, selector: str) -> float | None:
        """Seconds since the newest sample; infinite if there was none for minutes."""
        rows = self._ask(f"max(timestamp({selector}))")
        if rows:
            return self._now - rows[0][1]
        return math.inf if self._number(f"count(last_over_time({selector}[1d]))") else None

    @property
    def _namespace(self) -> str:
        name = self._scope.state("namespace")
        return f"{{{name}={queries.quote(self._scope.namespace)}}}"

    def state_metrics(self, details: "_Details") -> Finding:
        """Whether kube-state-metrics speaks of the namespace, and how fresh that is."""
        name, namespace = "kube-state-metrics", self._scope.namespace
        age = self._age(f"kube_namespace_created{self._namespace}")
        if age is None:
            age = self._age(f"kube_pod_created{self._namespace}")
        if age is None:
            if self._number("count(last_over_time(kube_namespace_created[1d]))"):
                return Finding(
                    name,
                    State.FAILED,
                    f"it knows no namespace '{namespace}'",
                    "set ACCOUNTING_PROMETHEUS__NAMESPACE to the hub's namespace",
                )
            return Finding(
                name,
                State.FAILED,
                f"Prometheus has none of its metrics{details.trouble('kube-state-metrics')}",
                "install kube-state-metrics and let Prometheus scrape it",
            )
        return _fresh(name, age, f"speaks of the namespace '{namespace}'", details)

    def kubelets(self, details: "_Details") -> Finding:
        """Whether cAdvisor is scraped, and how fresh that is."""
        # Of all, not of notebooks: none may be running.
        age = self._age(f'{_CPU}{{id="/"}}')
        if age is None:
            age = self._age(_CPU + self._scope.usage_selector())
        if age is None:
            return Finding(
                "cAdvisor",
                State.FAILED,
                f"Prometheus has no {_CPU}{details.trouble('cadvisor')}",
                "let Prometheus scrape the kubelets' /metrics/cadvisor",
            )
        return _fresh("cAdvisor", age, "the kubelets' containers are measured", details)

    def scrape_interval(self, expected: float) -> Finding:
        """How often kube-state-metrics is scraped."""
        series = self._source.raw(
            f"kube_namespace_created{self._namespace}[{_RECENT_SECONDS}s]", self._now
        )
        steps = sorted(
            later[0] - earlier[0] for _, points in series for earlier, later in pairwise(points)
        )
        if not steps:
            return Finding(
                "scrape interval",
                State.WARNING,
                "too few samples to tell",
                "look again in some minutes",
            )
        usual = steps[len(steps) // 2]
        if usual > _SLOW_SCRAPE_SECONDS:
            return Finding(
                "scrape interval",
                State.WARNING,
                f"{usual:.0f} s: ends of notebooks are known only that exactly, and notebooks"
                " shorter than that may be missed",
                "scrape kube-state-metrics and the kubelets every 30 to 60 s",
            )
        if not expected / _DRIFT <= usual <= expected * _DRIFT:
            return Finding(
                "scrape interval",
                State.OK,
                f"{usual:.0f} s; ACCOUNTING_PROMETHEUS__SCRAPE_INTERVAL assumes {expected:g} s"
                " where samples are too few to tell",
            )
        return Finding("scrape interval", State.OK, f"{usual:.0f} s")

    def owners(self) -> Finding:
        """Whether the hub's annotations arrive (M11)."""
        pods = self._notebooks()
        if not pods:
            return Finding(
                "owners",
                State.WARNING,
                f"no pod like '{self._scope.pod}' ran in '{self._scope.namespace}' in 24 h",
                "start a notebook and look again; see ACCOUNTING_PROMETHEUS__POD",
            )
        named = self._annotated(queries.USER)
        if not named:
            return Finding(
                "owners",
                State.FAILED,
                f"none of {pods} notebooks has the hub's annotations: whose they are is unknown",
                f"start kube-state-metrics with {ALLOWLIST}",
            )
        grouped = self._annotated(queries.GROUP)
        if not grouped:
            return Finding(
                "owners",
                State.WARNING,
                f"none of {pods} notebooks has a primary group: all go to the default VO, if any",
                "let the hub write egi.eu/primary_group on its pods, and start"
                f" kube-state-metrics with {ALLOWLIST}; or set ACCOUNTING_VO__DEFAULT",
            )
        return Finding(
            "owners",
            State.OK,
            f"of {pods} notebooks in 24 h, {named} have a user and {grouped} a primary group",
        )

    @property
    def _ran(self) -> str:
        selector = self._scope.state_selector('phase="Running"')
        return f"(max by (uid) (max_over_time(kube_pod_status_phase{selector}[1d])) == 1)"

    def _notebooks(self) -> int:
        return int(self._number(f"count({self._ran})"))

    def _annotated(self, label: str) -> int:
        spellings = (label, *(label + suffix for suffix in queries.CONFLICTS))
        selectors = [self._scope.state_selector(f'{spelling}!=""') for spelling in spellings]
        any_of = " or ".join(
            f"group by (uid) (last_over_time(kube_pod_annotations{selector}[1d]))"
            for selector in selectors
        )
        return int(self._number(f"count({self._ran} and on (uid) ({any_of}))"))

    def cpu_level(self) -> Iterator[Finding]:
        """Which level of CPU counters is there (M3, M4)."""
        of_pods = self._number(f"count({queries.cpu(self._scope, self._day)})")
        of_containers = self._number(f"count({queries.container_cpu(self._scope, self._day)})")
        if of_pods:
            selector = self._scope.usage_selector('id!=""')
            with_id = self._number(f"count(last_over_time({_CPU}{selector}[1d]))")
            note = "" if with_id else "; 'id' is dropped, so pods are told by name"
            yield Finding("CPU", State.OK, f"counted for whole pods{note}")
        elif of_containers:
            yield Finding(
                "CPU",
                State.WARNING,
                "counted per container only: what the last run of a restarted container used"
                " after its last scrape is lost",
                "do not drop the kubelets' series without a container label"
                ' (metric_relabel_configs that drop container="")',
            )
        elif self._notebooks():
            yield Finding(
                "CPU",
                State.FAILED,
                f"no {_CPU} for the notebooks of 24 h: CPU time stays unknown",
                "let Prometheus keep the kubelets' /metrics/cadvisor of all nodes",
            )


def _fresh(name: str, age: float, what: str, details: "_Details") -> Finding:
    if age <= _STALE_SECONDS:
        return Finding(name, State.OK, f"{what}; last sample {max(age, 0):.0f} s ago")
    return Finding(
        name,
        State.FAILED,
        f"silent now, though it spoke within 24 h{details.trouble(name)}",
        "see the targets' page of Prometheus; usage waits, and is read when it speaks again",
    )


class _Details:
    """What engines tell of themselves beside the query API; nothing, if they do not.

    Read with prometheus-api-client, whose answers are whole JSON documents. Imported here, as its
    import takes as long as all of the command line.
    """

    def __init__(self, settings: Settings) -> None:
        import requests  # noqa: PLC0415
        from prometheus_api_client import PrometheusConnect  # noqa: PLC0415
        from urllib3.util.retry import Retry  # noqa: PLC0415

        prometheus = settings.prometheus
        self._url = prometheus.url
        self._session = requests.Session()
        self._session.verify = str(prometheus.ca_file) if prometheus.ca_file else True
        headers: dict[str, str] = {}
        if prometheus.token_file:
            headers["Authorization"] = f"Bearer {prometheus.token_file.read_text().strip()}"
        self._session.headers.update(headers)
        self._client = PrometheusConnect(
            prometheus.url,
            headers=headers,
            session=self._session,
            timeout=_DETAILS_SECONDS,
            retry=Retry(0),
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _status(self, page: str) -> dict[str, Any]:
        url = f"{self._url}/api/v1/status/{page}"
        with suppress(OSError, ValueError):  # requests' errors are OSErrors
            answer = self._session.get(url, timeout=_DETAILS_SECONDS)
            content = answer.json() if answer.status_code == _OK else {}
            data = content.get("data") if isinstance(content, dict) else None
            return data if isinstance(data, dict) else {}
        return {}

    def engine(self) -> Finding:
        """Which engine answers, and its version."""
        build = self._status("buildinfo")
        version = str(build.get("version", ""))
        if build.get("application"):
            name = str(build["application"])
        elif "goVersion" in build:
            name = "Prometheus"
        else:  # VictoriaMetrics says nothing there, or the version that it is compatible with
            name, version = "VictoriaMetrics or another engine with Prometheus' query API", ""
        return Finding("Prometheus", State.OK, f"{self._url} answers: {name} {version}".rstrip())

    def trouble(self, job: str) -> str:
        """Why targets of a job cannot be scraped, as text to append."""
        try:
            active = self._client.get_targets(state="active")["activeTargets"]
            down = [
                target["lastError"]
                for target in active
                if target["health"] == "down" and job.lower() in str(target).lower()
            ]
        except Exception:  # noqa: BLE001 - only helps; engines differ in what they answer
            return ""
        return f" ({len(down)} targets are down: {down[0][:240]})" if down else ""

    def retention_seconds(self) -> float | None:
        """How long samples are kept; None if it does not say, or if a size decides."""
        said = str(self._status("runtimeinfo").get("storageRetention", ""))
        length = said.partition(" or ")[0]
        parts = _RETENTION.findall(length)
        if not parts or "".join(n + unit for n, unit in parts) != length:
            return None
        return float(sum(int(n) * _RETENTION_UNITS[unit] for n, unit in parts))


def _retention(settings: Settings, details: _Details, now: float) -> Iterator[Finding]:
    """Whether what has not been read yet is still there."""
    kept = details.retention_seconds()
    if kept is None:
        return
    said = f"samples are kept for {kept / _DAY:g} days"
    watermark = _watermark(settings)
    behind = None if watermark is None else now - watermark
    cure = "poll now; keep samples longer than any outage (--storage.tsdb.retention.time)"
    if behind is not None and behind > kept:
        what = f"{said}, but the last poll ended {behind / _DAY:.1f} days ago: usage was lost"
        yield Finding("retention", State.FAILED, what, cure)
    elif behind is not None and behind > kept / 2:
        what = f"{said}, and the last poll ended {behind / _DAY:.1f} days ago"
        yield Finding("retention", State.WARNING, what, cure)
    else:
        yield Finding("retention", State.OK, said)


def _watermark(settings: Settings) -> float | None:
    if _is_new(settings):
        return None
    with suppress(AccountingError), Database(settings.database_url) as database:
        progress = Ledger(database).progress()
        return None if progress is None else float(progress.watermark)
    return None


def _is_new(settings: Settings) -> bool:
    """Whether the SQLite file is yet to be made: looking must not make it."""
    with Database(settings.database_url) as database:
        path = database.url.database
        return database.is_sqlite and bool(path) and not Path(path or "").exists()


def _database(settings: Settings) -> Iterator[Finding]:
    name = "database"
    with Database(settings.database_url) as database:
        if _is_new(settings):
            folder = Path(database.url.database or "").absolute().parent
            if folder.is_dir():
                yield Finding(name, State.OK, f"{database.name} is made by the first poll")
            else:
                what = f"{database.name} cannot be made: there is no folder {folder}"
                yield Finding(name, State.FAILED, what, f"make it with 'mkdir -p {folder}'")
            return
        revision = database.revision()
        with database.begin():
            pass  # takes SQLite's write lock: it is there, and the file is writable
        if revision is None:
            yield Finding(name, State.OK, f"{database.name} is empty; the first poll fills it")
        elif database.is_current():
            yield Finding(name, State.OK, f"{database.name} is of version {revision}")
        else:
            yield Finding(
                name,
                State.FAILED,
                f"the tables of {database.name} are of version {revision}",
                "run 'notebooks-accounting db upgrade' once, with the service stopped",
            )


def _delivery(settings: Settings, now: float) -> Iterator[Finding]:
    ssm = settings.ssm
    sender = sender_of(settings)
    if ssm.transport == "dirq":
        sender.check()
        yield Finding("spool", State.OK, f"{sender.name} can be written")
        return
    at = datetime.fromtimestamp(now, UTC)
    host = HostCertificate.load(ssm.hostcert, ssm.hostkey)
    host.check(at)
    said = f"{host.dn}, valid for {host.days_left(at):.0f} days, and its key matches"
    if warnings := host.warnings(at):
        yield Finding("certificate", State.WARNING, said, warnings[0])
    else:
        yield Finding("certificate", State.OK, said)
    yield from _guarded("AMS", lambda: _login(sender.check, sender.name))


def _login(check: Callable[[], object], name: str) -> Iterator[Finding]:
    check()
    yield Finding("AMS", State.OK, f"{name} accepts the certificate")


def worst(findings: Iterable[Finding]) -> State:
    """The worst state of all."""
    order = list(State)
    return max((finding.state for finding in findings), key=order.index, default=State.OK)
