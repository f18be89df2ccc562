"""What a window says of a home volume, merged with what is known of it. Pure.

Merging takes what was measured last, and keeps whose it is once the claim has said so. So asking
again changes nothing.
"""

from collections.abc import Sequence

from accounting.model.volumes import Measured, Quality, Volume, VolumeSeen, Withheld
from accounting.records.builder import Site
from accounting.records.formats import star
from accounting.records.identity import VoRules, decide, shown_user


def merged(
    seen: VolumeSeen, before: Sequence[Volume], site: Site, rules: VoRules, group: str = ""
) -> Volume | None:
    """A volume's day; None if it is nobody's home: nothing says whose it is.

    Args:
        seen: what the window says.
        before: its rows of that day and of the last one before, as far as there are any, in order.
        site: what records say of the site.
        rules: how groups become VOs.
        group: the owner's primary group elsewhere, if neither claim nor notebooks tell.
    """
    same = [row for row in before if not _is_another(row, seen)]
    known = same[-1] if same else None
    owner, is_annotated = _owner(seen, known)
    is_shared = not owner and not is_annotated and bool(seen.mounters or known)
    if owner in rules.excluded_users or not (owner or is_shared):
        return None
    allocated = seen.allocated_bytes
    if known is not None and (allocated is None or known.seen_at > seen.at):
        allocated = known.allocated_bytes
    measured = _measured(seen, same)
    if measured is None:
        if allocated is None:
            return None
        measured = Measured(0, allocated, Quality.ALLOCATED)
    group = _group(seen, known, owner) or group
    vo = decide(group, rules).name
    system = site.storage_system or site.compute_service or site.name
    volume = Volume(
        uid=_uid(seen, known, site.name, system),
        day=seen.day,
        namespace=seen.namespace,
        name=seen.name,
        site=site.name,
        system=system,
        share=site.storage_share,
        owner=owner,
        is_annotated=is_annotated,
        user=shown_user(owner, vo, rules),
        group=group,
        vo=vo,
        used_bytes=measured.bytes,
        allocated_bytes=allocated,
        quality=measured.quality,
        measured_at=measured.at or None,
        created_at=seen.created_at or (known.created_at if known else None),
        seen_at=max(seen.at, known.seen_at if known and known.day == seen.day else 0),
    )
    return checked(volume, is_shared=is_shared)


def adds_nothing(seen: VolumeSeen, before: Sequence[Volume]) -> bool:
    """Fast path: whether the day's row says all of it already, as of most that nothing mounts."""
    known = before[-1] if before else None
    return (
        known is not None
        and known.day == seen.day
        and not known.held
        and seen.measured is None
        and not seen.mounters
        and seen.allocated_bytes == known.allocated_bytes
        and seen.created_at == known.created_at
        and known.is_annotated
        and seen.user in {"", known.owner}
        and seen.group in {"", known.group}
    )


def checked(volume: Volume, *, is_shared: bool = False) -> Volume:
    """The same with whether its record goes out, and the digest of its text."""
    held, problem = Withheld.NO, star.problem(volume)
    if is_shared:
        held, problem = Withheld.SHARED, "several users mount it, and no annotation says whose"
    elif not volume.vo:
        held, problem = Withheld.UNMAPPED, f"no VO follows from the group '{volume.group}'"
    elif problem:
        held = Withheld.INVALID
    return volume._replace(held=held, problem=problem, digest=star.digest(star.text(volume)))


def _uid(seen: VolumeSeen, known: Volume | None, site: str, system: str) -> str:
    """The record's id; of a day that is known already, it need not be computed again."""
    if known is not None and (known.day, known.site, known.system) == (seen.day, site, system):
        return known.uid
    return star.record_id(site, system, seen.namespace, seen.name, seen.day)


def _is_another(row: Volume, seen: VolumeSeen) -> bool:
    """Whether the claim was made anew, under the same name, since then."""
    return seen.created_at is not None and row.seen_at < seen.created_at


def _owner(seen: VolumeSeen, known: Volume | None) -> tuple[str, bool]:
    """(the owner, whether the claim says so); nobody if several mount it."""
    if seen.user:
        return seen.user, True
    if known is not None and known.is_annotated:
        return known.owner, True
    users = {mounter.user for mounter in seen.mounters if mounter.user}
    if known is not None:
        users |= {known.owner}  # empty: it is shared already, and stays so
    return (users.pop(), False) if len(users) == 1 else ("", False)


def _measured(seen: VolumeSeen, same: Sequence[Volume]) -> Measured | None:
    """What was measured last, while the claim has existed; of two at once, by the file system."""
    found = [one for one in (seen.measured, *(row.measured for row in same)) if one is not None]
    made = seen.created_at or 0.0
    found = [one for one in found if one.at >= made]
    return max(found, key=lambda one: (one.at, one.quality is Quality.FILESYSTEM), default=None)


def _group(seen: VolumeSeen, known: Volume | None, owner: str) -> str:
    """The claim's own, else that of the owner's latest notebook with it."""
    mounted = [one.group for one in seen.mounters if one.user == owner and one.group]
    now = seen.group or (mounted[-1] if mounted else "")
    if known is None or (now and seen.at >= known.seen_at):
        return now
    return known.group or now
