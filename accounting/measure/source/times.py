"""Times of samples: found in an answer's text, and refused where they cannot be.

Finding them in the text of 5,000 series of 150 samples takes 4 ms; decoding these takes 51 ms.
"""

from accounting.errors import SourceGarbled

# As many bytes of an answer tell whether its JSON is written with blanks.
_PEEK = 64
_APART_SECONDS = 1.0
"""Times are asked for, and told, in milliseconds: their ends may differ by rounding."""


EARLIEST = 1_400_000_000
"""Unix seconds: Kubernetes is younger."""


def require_times(url: str, since: float, until: float, *times: float) -> None:
    """Refuse samples that nobody asked for: an impossible time would stay in the ledger.

    Args:
        url: who sent them.
        since: the begin of what was asked for, Unix seconds.
        until: its end.
        times: of the samples, Unix seconds.

    Raises:
        SourceGarbled: one lies outside, or is no time at all.
    """
    if not all(since - _APART_SECONDS <= time <= until + _APART_SECONDS for time in times):
        raise untimely(url)


def untimely(url: str) -> SourceGarbled:
    """The error of samples whose times cannot be."""
    return SourceGarbled(
        f"{url} gave samples whose times are none, or were not asked for",
        "check what ACCOUNTING_PROMETHEUS__URL points to, and the proxies on the way",
    )


def running_times(values: bytes) -> tuple[float | None, float | None, float]:
    """First and last time with value 1, and last time of all, in a raw series' JSON text.

    Args:
        values: ``[[1435781430.781,"1"],…]``, in order of time, never empty.
    """
    compact = values if b" " not in values[:_PEEK] else values.replace(b" ", b"")
    listed_at = _time_before(compact, compact.rfind(b',"'))
    first = compact.find(b',"1"]')
    if first < 0:
        return None, None, listed_at
    first_at = _time_before(compact, first)
    if compact.endswith(b',"1"]]'):
        return first_at, listed_at, listed_at
    return first_at, _time_before(compact, compact.rfind(b',"1"]')), listed_at


def first_time(values: bytes) -> float:
    """Time of the first sample in a raw series' JSON text."""
    return float(values[values.rfind(b"[", 0, values.find(b",")) + 1 : values.find(b",")])


def stopped_time(values: bytes) -> float | None:
    """Time of the first sample after the last one with value 1, else of the first sample of all.

    None if the last sample of all has the value 1.
    """
    compact = values if b" " not in values[:_PEEK] else values.replace(b" ", b"")
    last = compact.rfind(b',"1"]')
    following = compact.find(b',"', last + 1)
    return _time_before(compact, following) if following >= 0 else None


def _time_before(values: bytes, comma: int) -> float:
    return float(values[values.rfind(b"[", 0, comma) + 1 : comma])
