"""A pod's energy by day and month, from what its page in the ledger holds. Pure."""

from collections.abc import Sequence

from accounting.model.accelerators import Accelerator, Quality
from accounting.model.energy import PLATFORM, EnergyQuality, EnergyRules, Taken
from accounting.model.pods import Account, DayReading
from accounting.model.time import Month

_DAY = 86400
# A day with less CPU than this may well have come to an end between two of Kepler's scrapes.
_HARDLY_SECONDS = 60.0


def of_month(
    account: Account, month: Month, held: Sequence[Accelerator], rules: EnergyRules
) -> Taken:
    """What a pod took within a month."""
    days = [taken for day, taken in by_day(account, held, rules).items() if _is_in(day, month)]
    known = [taken.joules for taken in days if taken.joules is not None]
    if not known:
        return Taken(None, EnergyQuality.NONE)
    qualities = {taken.quality for taken in days}
    quality = EnergyQuality.PARTLY if len(qualities) > 1 else qualities.pop()
    return Taken(round(sum(known), 3), quality)


def by_day(account: Account, held: Sequence[Accelerator], rules: EnergyRules) -> dict[int, Taken]:
    """What a pod took, by UTC day since the epoch.

    Args:
        account: its page.
        held: its accelerators, as its records tell of them.
        rules: the site's.
    """
    found: dict[int, Taken] = {}
    before: DayReading | None = None
    end = account.pod.end_at
    last = None if end is None else max(end - 1, account.pod.start_at) // _DAY
    is_measured = any(reading.joules for reading in account.days.values())
    has_devices = any(one.type for one in held)
    for day, reading in sorted(account.days.items()):
        cpu = _grown(reading.cpu_seconds, before.cpu_seconds if before else None)
        joules, zone = _moved(reading, before, rules.zones)
        taken = _told(joules, cpu, rules, is_measured=is_measured)
        if has_devices:
            taken = _with_accelerators(taken, account, day, held, zone)
        of = day if last is None else min(day, last)  # the last sample may come after its end
        found[of] = _added(found[of], taken) if of in found else taken
        before = reading
    return found


def _told(
    joules: float | None, cpu: float | None, rules: EnergyRules, *, is_measured: bool
) -> Taken:
    if joules is not None:
        return Taken(joules, EnergyQuality.MEASURED, cpu)
    if is_measured:
        is_idle = (cpu or 0.0) < _HARDLY_SECONDS
        return Taken(0.0, EnergyQuality.MEASURED if is_idle else EnergyQuality.PARTLY, cpu)
    if rules.watts_per_core is not None and cpu is not None:
        return Taken(cpu * rules.watts_per_core, EnergyQuality.ESTIMATED, cpu)
    return Taken(None, EnergyQuality.NONE, cpu)


def _moved(
    reading: DayReading, before: DayReading | None, zones: Sequence[str]
) -> tuple[float | None, str]:
    """By how much the preferred zone that moved that day did, and which that is; never a sum."""
    if not reading.joules:
        return None, ""
    known = dict(before.joules) if before else {}
    now = dict(reading.joules)
    for zone in zones:
        if zone in now and now[zone] > known.get(zone, 0.0):
            return now[zone] - known.get(zone, 0.0), zone
    return None, ""


def _grown(now: float | None, before: float | None) -> float | None:
    return None if now is None else max(0.0, now - (before or 0.0))


def _with_accelerators(
    taken: Taken, account: Account, day: int, held: Sequence[Accelerator], zone: str
) -> Taken:
    """With what whole devices took that day; what is not told apart is missing.

    The platform's zone may hold them already: then they are not added.
    """
    if zone == PLATFORM:
        return taken
    missing = [one for one in held if one.type and one.joules is None]
    is_shared = any(one.quality is Quality.SHARED for one in held)
    measured = [
        use.joules
        for key, use in account.uses.items()
        if key.day == day and not key.profile and use.joules is not None and not is_shared
    ]
    joules = sum(measured) + (taken.joules or 0.0) if measured or taken.joules else taken.joules
    if taken.quality is EnergyQuality.MEASURED and not missing and measured:
        return taken._replace(joules=joules)
    if taken.quality is EnergyQuality.ESTIMATED or joules is None:
        return taken._replace(joules=joules)
    return taken._replace(joules=joules, quality=EnergyQuality.PARTLY)


def _added(one: Taken, other: Taken) -> Taken:
    joules = [taken.joules for taken in (one, other) if taken.joules is not None]
    cpu = [taken.cpu_seconds for taken in (one, other) if taken.cpu_seconds is not None]
    quality = one.quality or other.quality
    return Taken(sum(joules) if joules else None, quality, sum(cpu) if cpu else None)


def _is_in(day: int, month: Month) -> bool:
    return Month.of(day * _DAY) == month
