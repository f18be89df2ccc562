"""Which claim the spawner takes as each user's home, and what to look at before it does.

The rule is the spawner's own: it gets a listing in place of the cluster.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from kubespawner.slugs import escape_slug, safe_slug

from hub.migration.report import Finding, Kind
from hub.spawner import home
from hub.spawner.home_spawner import owner
from hub.spawner.manifests import OWNER, Manifest


@dataclass(frozen=True, slots=True)
class User:
    """A user as the hub's database knows them.

    Args:
        number: the user's, which new claims are named by; None if the database was not read.
        remembered: claims that the user's servers have mounted.
    """

    number: int | None = None
    remembered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Survey:
    """The homes of all users.

    Args:
        homes: the claim that the spawner will take, by user.
        findings: what needs a look: several claims, one that is gone, or nobody's.
    """

    homes: Mapping[str, str]
    findings: tuple[Finding, ...]


class Listing:
    """Claims that were listed, asked as the cluster is."""

    def __init__(self, claims: Iterable[Manifest]) -> None:
        self.by_name = {str(claim["metadata"]["name"]): claim for claim in claims}
        self._by_label: dict[str, list[Manifest]] = {}
        for claim in self.by_name.values():
            if label := (claim["metadata"].get("labels") or {}).get(OWNER):
                self._by_label.setdefault(f"{home.STORAGE},{OWNER}={label}", []).append(claim)
        self.owners = home.owners(self.by_name.values())

    async def claims(self, selector: str) -> list[Manifest]:
        """Those with a user's label."""
        return self._by_label.get(selector, [])

    async def claim(self, name: str) -> Manifest | None:
        """One; None where there is none."""
        return self.by_name.get(name)

    async def owned(self, _age: float) -> Mapping[str, list[Manifest]]:
        """All, by the user in their annotation."""
        return self.owners


async def survey(
    claims: Iterable[Manifest], users: Mapping[str, User], releases: tuple[str, ...] = ()
) -> Survey:
    """Look for each user's home as a start of their server would.

    Args:
        claims: the namespace's PersistentVolumeClaims of `home.STORAGE`, as Kubernetes lists them.
        users: those of the hub's database by name; empty if it was not read.
        releases: Helm releases whose claims are this hub's; empty for any.
    """
    listing = Listing(claims)
    homes: dict[str, str] = {}
    findings: list[Finding] = []
    taken: set[str] = set()
    for name in sorted({*users, *listing.owners}):
        user = users.get(name, User())
        found = await _find(listing, name, user, releases)
        if found.home:
            homes[name] = found.home.name
            taken |= {found.home.name, *found.home.others}
        said = _odd(found, user, listing.by_name)
        findings += [Finding(Kind.DECIDE, name, what) for what in said]
    unowned = {
        name: claim for name, claim in listing.by_name.items() if home.owner_of(claim) is None
    }
    nobodys = [Finding(Kind.DECIDE, n, _nobodys(c)) for n, c in unowned.items() if n not in taken]
    return Survey(homes, (*findings, *nobodys))


async def _find(listing: Listing, name: str, user: User, releases: tuple[str, ...]) -> home.Found:
    who = owner(name, releases)
    selector = f"{home.STORAGE},{OWNER}={who.labels[0]}"
    fields = {
        "userid": user.number,
        "username": safe_slug(name),
        "escaped_username": escape_slug(name),
    }
    usual = "" if user.number is None else home.USUAL.format(**fields)
    legacy = tuple(template.format(**fields) for template in home.LEGACY)
    names = home.Names(user.remembered, usual, legacy)
    return await home.find(listing, who, selector, names, listing.owned)


def _odd(found: home.Found, user: User, claims: Mapping[str, Manifest]) -> Iterator[str]:
    """What the operator should know of a user's home; nothing for one home, or none."""
    if found.home and found.home.others:
        used, *others = (_described(claims[n]) for n in (found.home.name, *found.home.others))
        yield f"has {len(others) + 1} homes: {used} is used, {', '.join(others)} not; merge them"
    if found.deleted:
        yield f"has a home that is being deleted: {', '.join(found.deleted)}"
    if found.foreign:
        foreign = ", ".join(found.foreign)
        yield f"has a home of another release: {foreign}; see EGISpawner.earlier_releases"
    if found.renamed:
        yield f"had {', '.join(found.renamed)}, which has another user's name on it"
    gone = [name for name in user.remembered if name not in claims]
    if gone:
        yield f"had {', '.join(gone)}, which is gone"


def _described(claim: Manifest) -> str:
    """A claim with what tells it from others: its size, and the day it was made."""
    status = claim.get("status") or {}
    size = (status.get("capacity") or {}).get("storage") or status.get("phase") or "no volume"
    day = str(claim["metadata"].get("creationTimestamp") or "")[: len("2021-01-31")]
    return f"{claim['metadata']['name']} ({size}, {day or 'undated'})"


def _nobodys(claim: Manifest) -> str:
    """Why a claim is nobody's home, and the cure."""
    if (claim["metadata"].get("labels") or {}).get(OWNER):
        return (
            "has only a label of its user: name the hub's database (--hub-db) to tell whose it is"
        )
    return f"has no user's name on it: write it into its annotation {OWNER}, or delete it"
