"""The query API of Prometheus and its kin, read as fast as it can be sent.

Answers are decoded by msgspec with types. Raw samples of a phase series stay undecoded bytes: of
hundreds of thousands of samples only the first and last ones matter (``times``).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Generic, Self, TypeVar

import httpx
import msgspec

from accounting.errors import (
    SourceError,
    SourceGarbled,
    SourceRefused,
    SourceTooLarge,
    SourceTooSlow,
    SourceUnavailable,
)
from accounting.measure.source.connection import Access, Connection
from accounting.measure.source.texts import fitted
from accounting.measure.source.times import (
    EARLIEST,
    first_time,
    require_times,
    running_times,
    stopped_time,
    untimely,
)
from accounting.measure.usage.samples import Labels, RawSeries, Row, Sighting, UsageRow
from accounting.model.time import Window

_TOO_LARGE = re.compile(
    r"too many samples|too many (?:series|chunks|bytes|points)|exceeded maximum resolution"
    r"|cannot select more than|limit exceeded|exceeds the limit|max-?samples|maxUniqueTimeseries"
    r"|max number of (?:series|chunks|samples)|(?:data|chunks) size limit|hit the max"
    r"|query timed out|exceeded (?:the )?(?:limit|maximum)"
    r"|deadline exceeded|maxSamplesPerQuery|too large|-search\.max|err-mimir-max"
    r"|limit \d+ violated|exceeded (?:series|chunks|samples|bytes|data) limit|resource ?exhausted"
    r"|not enough memory|larger than max|timeout exceeded",
    re.IGNORECASE,
)
# Of whoever asks, not of a question: in parts it would be worse.
_BUSY = re.compile(r"rate limit|too many (?:outstanding )?requests|concurrent", re.IGNORECASE)
# A gateway that gave up waiting: the question was too large for it.
_TOO_LARGE_STATUS = {413, 504}
# The same, if it answers a small question: its query engine ran out of time or memory, or what is
# before it (502, 408; 524 is Cloudflare's) got no answer.
_OVERWHELMED = {408, 502, 503, 524}
_SHOWN = 200
_NO_TENANT = "no org id"
# What AWS says to a request without a valid signature, or without a permission.
_UNSIGNED = re.compile(
    r"missing authentication token|signature|security token|not authorized to perform: aps:",
    re.IGNORECASE,
)
MOST_BYTES = 256 * 1024 * 1024
"""Of an answer, decompressed: a row takes about 400 bytes, and no query has more than three rows of
a pod."""
_MOST_SERIES = 1_000_000

T = TypeVar("T")


class _Labels(msgspec.Struct, gc=False):
    """The labels that are read of a phase's series: the others are skipped unread."""

    uid: str = ""
    namespace: str = ""
    pod: str = ""
    exported_namespace: str = ""
    exported_pod: str = ""


class _VectorRow(msgspec.Struct, gc=False):
    metric: dict[str, str]
    value: tuple[float, float]


class _MatrixRow(msgspec.Struct, gc=False):
    metric: dict[str, str]
    values: list[tuple[float, float]]


class _LabelsRow(msgspec.Struct, gc=False):
    """A row of which only the labels are read."""

    metric: dict[str, str]


class _BytesRow(msgspec.Struct, gc=False):
    metric: _Labels
    values: msgspec.Raw


class CgroupLabels(msgspec.Struct, gc=False):
    """The labels that are read of a cgroup's series: the others are skipped unread."""

    id: str = ""
    interface: str = ""
    pod: str = ""
    exported_pod: str = ""


class CgroupRow(msgspec.Struct, gc=False):
    """A row about a cgroup: see ``samples.UsageRow``."""

    metric: CgroupLabels
    value: tuple[float, float]

    @property
    def pod(self) -> str:
        """Its pod's name."""
        return self.metric.exported_pod or self.metric.pod


class _Vector(msgspec.Struct, gc=False):
    result: list[_VectorRow]


class _Usage(msgspec.Struct, gc=False):
    result: list[CgroupRow]


class _Matrix(msgspec.Struct, gc=False):
    result: list[_MatrixRow]


class _LabelsAlone(msgspec.Struct, gc=False):
    result: list[_LabelsRow]


class _Undecoded(msgspec.Struct, gc=False):
    result: list[_BytesRow]


class _Answer(msgspec.Struct, Generic[T]):
    status: str
    data: T
    warnings: list[str] | None = None
    partial: bool = msgspec.field(default=False, name="isPartial")


class _Failure(msgspec.Struct):
    error: str = ""


# Made while one thread imports this: msgspec crashes the process (0.22) where two threads decode
# the same class for the first time at once.
_vector = msgspec.json.Decoder(_Answer[_Vector], strict=False)
_usage = msgspec.json.Decoder(_Answer[_Usage], strict=False)
_matrix = msgspec.json.Decoder(_Answer[_Matrix], strict=False)
_labels_alone = msgspec.json.Decoder(_Answer[_LabelsAlone], strict=False)
_undecoded = msgspec.json.Decoder(_Answer[_Undecoded], strict=False)
_names = msgspec.json.Decoder(_Answer[list[str]], strict=False)
_sets = msgspec.json.Decoder(_Answer[list[dict[str, str]]], strict=False)
_failed = msgspec.json.Decoder(_Failure)


class Source:
    """A Prometheus-compatible server.

    Args:
        url: its base, such as ``http://prometheus:9090`` or ``…/select/0/prometheus``.
        timeout_seconds: for each query; also told to the server. Twice that long, the whole answer
            must have come.
        access: what it wants to be shown.
        most_bytes: of an answer, decompressed.

    Raises:
        OSError: a certificate cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = 120.0,
        access: Access | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.url = url.rstrip("/")
        self._patience = f"{timeout_seconds * 1000:.0f}ms"  # Prometheus takes whole numbers only
        self._connection = Connection(
            self.url, access or Access(), timeout_seconds=timeout_seconds, most_bytes=most_bytes
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def vector(self, query: str, at: float) -> list[Row]:
        """Rows of an instant query at Unix time ``at``."""
        data = self._ask(query, at, _vector)
        return [(row.metric, row.value[1]) for row in data.result]

    def usage(self, query: str, at: float) -> list[UsageRow]:
        """Rows of an instant query about cAdvisor's series at Unix time ``at``."""
        return [*self._ask(query, at, _usage).result]

    def raw(self, query: str, at: float) -> list[RawSeries]:
        """Raw samples of a range selector that ends at Unix time ``at``."""
        data = self._ask(query, at, _matrix)
        for row in data.result:
            require_times(self.url, EARLIEST, at, *(time for time, _ in row.values))
        return [(row.metric, row.values) for row in data.result]

    def sightings(self, query: str, at: float) -> Iterator[Sighting]:
        """The phase series of a range selector, each reduced to the times that matter."""
        for row in self._ask(query, at, _undecoded).result:
            values = bytes(row.values)
            try:
                first, last, listed = running_times(values)
                first_listed = first_time(values)
                stopped = stopped_time(values) if last != listed else None
            except ValueError as exc:
                raise untimely(self.url) from exc
            told = (first, last, listed, first_listed, stopped)
            require_times(self.url, EARLIEST, at, *(time for time in told if time is not None))
            labels = row.metric
            yield Sighting(
                labels.uid,
                labels.exported_namespace or labels.namespace,
                labels.exported_pod or labels.pod,
                first,
                last,
                listed,
                first_listed_at=first_listed,
                stopped_at=stopped,
            )

    def first_time(self, query: str, window: Window, step_seconds: int) -> float | None:
        """The first of a window's steps at which ``query`` has an answer."""
        rows = self._stepped(query, window, step_seconds, _matrix).result
        times = [row.values[0][0] for row in rows if row.values]
        require_times(self.url, window.start, window.end, *times)
        return min(times, default=None)

    def at_any_step(self, query: str, window: Window, step_seconds: float) -> list[Labels]:
        """The labels of all that ``query`` answers at any of a window's steps."""
        found = self._stepped(query, window, step_seconds, _labels_alone).result
        return [row.metric for row in found]

    def label_names(self, selectors: Sequence[str], start: float, end: float) -> set[str]:
        """The label names of all series that any of the selectors selects in a span."""
        params = {"match[]": selectors, "start": f"{start:.3f}", "end": f"{end:.3f}"}
        content = self._send("labels", params)
        names: list[str] = _decoded(content, _names, self.url)
        return set(names)

    def label_sets(self, selector: str, start: float, end: float) -> list[dict[str, str]]:
        """The labels of all series that a selector selects in a span."""
        params = {"match[]": selector, "start": f"{start:.3f}", "end": f"{end:.3f}"}
        content = self._send("series", params)
        return _decoded(content, _sets, self.url)

    def _stepped(
        self,
        query: str,
        window: Window,
        step_seconds: float,
        answer: msgspec.json.Decoder[_Answer[T]],
    ) -> T:
        params = {
            "query": query,
            "start": str(window.start),
            "end": str(window.end),
            "step": f"{step_seconds:g}",
            "timeout": self._patience,
        }
        return _decoded(self._send("query_range", params), answer, self.url)

    def _ask(self, query: str, at: float, answer: msgspec.json.Decoder[_Answer[T]]) -> T:
        params = {"query": query, "time": f"{at:.3f}", "timeout": self._patience}
        return _decoded(self._send("query", params), answer, self.url)

    def _send(self, path: str, params: Mapping[str, str | Sequence[str]]) -> bytes:
        try:
            status, content = self._connection.ask(path, params)
            if status != httpx.codes.OK:
                raise _failure(self.url, status, content)
        except SourceTooSlow as exc:
            if self._answers():
                raise SourceTooLarge(
                    exc.message, f"shorten ACCOUNTING_POLL__STEP; {exc.cure}"
                ) from exc
            raise
        return content

    def _answers(self) -> bool:
        """Whether it answers the smallest question: then a larger one was too much for it."""
        try:
            status, _ = self._connection.ask("query", {"query": "vector(1)"})
        except SourceError:
            return False
        return status == httpx.codes.OK


def _failure(url: str, status: int, content: bytes) -> SourceError:
    """The error that a refusing answer stands for; its type decides what happens next."""
    try:
        said = _failed.decode(content).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = ""
    what = f"{url} answered {status}" + (f": {said[:_SHOWN]}" if said else "")
    if _BUSY.search(said):
        return SourceUnavailable(what, "ask it less often, or allow more queries at a time there")
    if status in _TOO_LARGE_STATUS or _TOO_LARGE.search(said):
        return SourceTooLarge(
            what, "allow Prometheus more (--query.max-samples) or shorten ACCOUNTING_POLL__STEP"
        )
    if status in _OVERWHELMED:
        return SourceTooSlow(what, "see Prometheus' log; the next poll goes on from here")
    if status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return SourceUnavailable(what, "see Prometheus' log; the next poll goes on from here")
    body = said or content[:_SHOWN].decode(errors="replace")
    return SourceRefused(what, _cure_of_refusal(status, body))


def _cure_of_refusal(status: int, said: str) -> str:
    if status in {401, 403} and _NO_TENANT in said:
        return 'name the tenant: ACCOUNTING_PROMETHEUS__HEADERS={"X-Scope-OrgID": "…"}'
    if status in {401, 403} and _UNSIGNED.search(said):
        return (
            "sign for AWS with ACCOUNTING_PROMETHEUS__AWS_REGION and …AWS_CREDENTIALS_FILE, by a"
            " role that may query the workspace (aps:QueryMetrics, aps:GetSeries, aps:GetLabels)"
        )
    if status in {401, 403}:
        return (
            "give a valid token in ACCOUNTING_PROMETHEUS__TOKEN_FILE, or user and password in"
            " ACCOUNTING_PROMETHEUS__USER and …PASSWORD_FILE"
        )
    if status == httpx.codes.REQUEST_URI_TOO_LONG:
        return (
            "it refuses POST and takes no long addresses: let the proxy before it pass POST, or"
            " larger headers (large_client_header_buffers)"
        )
    return "check that ACCOUNTING_PROMETHEUS__URL is the base of a Prometheus query API"


def _decoded(content: bytes, decoder: msgspec.json.Decoder[_Answer[T]], url: str) -> T:
    """What an answer says, if it is whole."""
    if content.count(b'"metric"') > _MOST_SERIES:
        raise SourceTooLarge(
            f"{url} gave an answer of more than {_MOST_SERIES:,} series",
            "shorten ACCOUNTING_POLL__STEP, or narrow ACCOUNTING_PROMETHEUS__POD",
        )
    try:
        # Values are numbers in quotes, and infinity is spelled in a way of its own.
        plain = fitted(content).replace(b'"+Inf"', b'"Inf"')
        answer = decoder.decode(plain)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        looks = "a web page" if content.lstrip()[:1] == b"<" else f"unreadable ({exc})"
        raise SourceGarbled(
            f"{url} gave an answer that is {looks} instead of the query API's JSON",
            "check that ACCOUNTING_PROMETHEUS__URL is not a login page or proxy; then poll again",
        ) from exc
    if answer.warnings or answer.partial:
        said = (answer.warnings or ["the answer is partial"])[0]
        raise SourceGarbled(
            f"{url} gave an incomplete answer: {said[:_SHOWN]}",
            "repair the stores behind it, then poll again; nothing was recorded from it",
        )
    return answer.data
