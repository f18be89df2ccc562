"""Figures as people read them: hours and GiB, with the exact value on hover; times in UTC."""

import re
from datetime import UTC, date, datetime

from markupsafe import Markup

from accounting.store.engine.clock import age

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_BYTES_PER_GIB = 2**30
_MB_PER_GIB = 1024
_UNKNOWN = Markup('<span class="unknown" title="not known">&ndash;</span>')
_FEW = 10


def number(value: float) -> str:
    """With two decimals below ten, one above, none for whole numbers; thousands set apart."""
    if not value or isinstance(value, int):
        return f"{value:,.0f}"
    return f"{value:,.{2 if abs(value) < _FEW else 1}f}"


def hours(seconds: float | None, unit: str = "h", exact: str = "s") -> Markup:
    """A duration, or what adds up over time, in hours.

    Args:
        seconds: how many; None is unknown.
        unit: what is shown, as ``core h``.
        exact: the unit of ``seconds``, for the hover.
    """
    if seconds is None:
        return _UNKNOWN
    return _figure(seconds, number(seconds / _HOUR), unit, exact)


def memory(mb: float | None) -> Markup:
    """An amount of memory in GiB."""
    if mb is None:
        return _UNKNOWN
    return _figure(mb, f"{mb / _MB_PER_GIB:,.3g}" if mb else "0", "GiB", "MB")


def size(used_bytes: float | None) -> Markup:
    """An amount of storage in GiB."""
    if used_bytes is None:
        return _UNKNOWN
    shown = f"{used_bytes / _BYTES_PER_GIB:,.3g}" if used_bytes else "0"
    return _figure(used_bytes, shown, "GiB", "B")


def memory_hours(mb_seconds: float | None) -> Markup:
    """Memory over time, in GiB hours."""
    if mb_seconds is None:
        return _UNKNOWN
    shown = number(mb_seconds / _MB_PER_GIB / _HOUR)
    return _figure(mb_seconds, shown, "GiB h", "MB s")


def energy(joules: float | None, quality: str = "", grams: float | None = None) -> Markup:
    """Energy in Wh or kWh with how well it is known, and its CO2 in grams if that is known."""
    if joules is None or not quality:
        return _UNKNOWN
    hours = joules / _JOULES_PER_WH
    is_large = hours >= _THOUSAND
    shown = number(hours / _THOUSAND if is_large else hours)
    told = _figure(joules, shown, "kWh" if is_large else "Wh", "J")
    co2 = "" if grams is None else f", {number(grams)} g CO\N{SUBSCRIPT TWO}"
    return told + Markup(' <span class="sub">{}</span>').format(f"{quality}{co2}")


_JOULES_PER_WH = 3600
_THOUSAND = 1000


def name(said: str) -> Markup:
    """A user's or VO's name: where it needs two lines, they part behind an @ or a dot."""
    return Markup("<wbr>").join(re.split(r"(?<=[@.])(?=.)", said))


def count(value: float | None, unit: str = "") -> Markup:
    """A number of things."""
    if value is None:
        return _UNKNOWN
    whole = int(value) if float(value).is_integer() else round(value, 3)
    shown = f"{whole:,}"
    if not unit:
        return Markup('<data value="{0}">{1}</data>').format(whole, shown)
    return Markup('<data value="{0}">{1}<span class="unit"> {2}</span></data>').format(
        whole, shown, unit
    )


def _figure(value: float, shown: str, unit: str, exact: str) -> Markup:
    whole = int(value) if float(value).is_integer() else round(value, 3)
    return Markup(
        '<data value="{0}" title="{1} {2}">{3}<span class="unit"> {4}</span></data>'
    ).format(whole, f"{whole:,}", exact, shown, unit)


def duration(seconds: float) -> str:
    """The two largest units: ``3 d 4 h``, ``2 h 5 min``, ``7 min``, ``12 s``."""
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min"
    large, small = (
        ((_DAY, "d"), (_HOUR, "h")) if whole >= _DAY else ((_HOUR, "h"), (_MINUTE, "min"))
    )
    rest = whole % large[0] // small[0]
    return f"{whole // large[0]} {large[1]}" + (f" {rest} {small[1]}" if rest else "")


def ago(at: float | None, now: float) -> str:
    """How long ago something was; a time in the future is said to be one."""
    if at is None:
        return "nothing yet"
    seconds = age(at, now)
    return "in the future: a clock ran ahead" if seconds is None else f"{duration(seconds)} ago"


def moment(at: float | None) -> Markup:
    """A time in UTC; a script, where it runs, adds the reader's local time to the hover."""
    if at is None:
        return _UNKNOWN
    when = datetime.fromtimestamp(at, UTC)
    return Markup(
        '<time datetime="{0:%Y-%m-%dT%H:%M:%SZ}" title="{0:%Y-%m-%d %H:%M:%S} UTC">'
        "{0:%Y-%m-%d %H:%M}</time>"
    ).format(when)


def iso(at: float) -> str:
    """A time as ISO 8601, to the second, UTC."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def day_name(day: date) -> str:
    """``Sat 1 Nov``."""
    return f"{day:%a} {day.day} {day:%b}"


def month_name(text: str) -> str:
    """``2026-11`` → ``November 2026``."""
    return f"{datetime.strptime(text, '%Y-%m').replace(tzinfo=UTC):%B %Y}"


def percent(share: float | None) -> Markup:
    """A share of a whole."""
    return _UNKNOWN if share is None else Markup("{:.0%}").format(share)


def change(now: float, before: float) -> str:
    """By how much something has grown: in per cent, or how many times if that says more.

    Empty if there is nothing to compare with.
    """
    if not before:
        return ""
    if now >= _FEW * before:
        return f"\N{MULTIPLICATION SIGN} {now / before:,.0f}"
    return f"{(now - before) / before:+.0%}".replace("-", "\N{MINUS SIGN}")


def sentence(text: str) -> str:
    """With a capital letter in front and a full stop behind."""
    said = text.strip()
    if not said:
        return ""
    is_word = said.split()[0].rstrip(",:;").isalpha()  # an address or a setting stays as it is
    return (said[0].upper() if is_word else said[0]) + said[1:] + ("" if said[-1] in ".!?" else ".")
