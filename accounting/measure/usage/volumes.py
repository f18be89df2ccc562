"""What a window's answers say of home volumes, within one day. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from accounting.measure.promql import volumes as promql
from accounting.measure.usage.samples import (
    MAX_BYTES,
    Rejected,
    Row,
    Samples,
    implausible,
    owner_of,
)
from accounting.model.pods import ERASED, Account, Owner
from accounting.model.volumes import Measured, Mounter, Quality, VolumeSeen

_MOST_NAME_BYTES = 255
_OWN = 2.0
"""A file system larger than the claim by more than this factor is not the claim's own."""


@dataclass
class _Claim:
    """What is said of one claim."""

    size: int | None = None
    created_at: float | None = None
    owner: Owner = field(default_factory=Owner)
    pods: list[str] = field(default_factory=list)
    used: int | None = None
    capacity: float | None = None


def seen_volumes(
    namespace: str,
    day: int,
    at: int,
    claims: Iterable[Row],
    use: Iterable[Row],
    *,
    found: Samples,
    accounts: Mapping[str, Account],
) -> list[VolumeSeen]:
    """The volumes of a namespace, by name.

    Args:
        namespace: which.
        day: what the answers are about.
        at: the end of what they are about.
        claims: the answers about claims.
        use: the answers about what is used.
        found: what the window says; values that cannot be true are noted there.
        accounts: pages of the pods that it is about.
    """
    known: dict[str, _Claim] = defaultdict(_Claim)
    for labels, value in _plausible(claims, found):
        if not _is_name(labels.get("persistentvolumeclaim", "")):
            continue
        _describe(known[labels.get("persistentvolumeclaim", "")], labels, value)
    directories: dict[str, int] = {}
    for labels, value in _plausible(use, found):
        metric = labels.get("__name__", "")
        if metric == promql.DIRECTORY:
            directories[labels.get("directory", "").rstrip("/").rpartition("/")[2]] = int(value)
        elif metric == promql.USED:
            known[labels.get("persistentvolumeclaim", "")].used = int(value)
        else:
            known[labels.get("persistentvolumeclaim", "")].capacity = value
    whose = _Mounters(found, accounts, at)
    seen = [
        VolumeSeen(
            namespace,
            name,
            day,
            at,
            claim.size,
            claim.created_at,
            claim.owner.user,
            claim.owner.primary_group,
            _measured(claim, directories.pop(name, None), at),
            whose.of(claim.pods),
        )
        for name, claim in sorted(known.items())
        if name and claim.size is not None  # a claim that nothing lists is gone
    ]
    for name, size in sorted(directories.items()):
        if not _is_name(name):
            continue
        measured = Measured(at, size, Quality.DIRECTORY)
        mounters = whose.named(f"jupyter-{name}")
        seen.append(VolumeSeen(namespace, name, day, at, measured=measured, mounters=mounters))
    return seen


def _is_name(name: str) -> bool:
    """Whether Kubernetes, or a file system, can have such a name; it is part of a key."""
    return 0 < len(name.encode()) <= _MOST_NAME_BYTES


def _plausible(rows: Iterable[Row], found: Samples) -> Iterable[Row]:
    for labels, value in rows:
        if reason := implausible(value, 0, MAX_BYTES):
            found.rejected[Rejected(labels.get("__name__", ""), reason)] += 1
        else:
            yield labels, value


def _describe(claim: _Claim, labels: Mapping[str, str], value: float) -> None:
    match labels.get("__name__"):
        case promql.SIZE:
            claim.size = int(value)
        case promql.CREATED:
            claim.created_at = value
        case promql.ANNOTATIONS:
            said = owner_of(labels)
            claim.owner = said if said.user else claim.owner
        case promql.MOUNTS:
            claim.pods.append(labels.get("uid", ""))


def _measured(claim: _Claim, directory: int | None, at: int) -> Measured | None:
    """What is used: by the claim's file system if it is its own, else by its directory.

    Provisioners of NFS and of folders on nodes let the kubelet report the whole share or disk.
    """
    is_own = not claim.capacity or not claim.size or claim.capacity <= _OWN * claim.size
    if claim.used is not None and is_own:
        return Measured(at, claim.used, Quality.FILESYSTEM)
    return None if directory is None else Measured(at, directory, Quality.DIRECTORY)


class _Mounters:
    """Who the notebooks are that mount volumes: those that were seen running up to a time."""

    def __init__(self, found: Samples, accounts: Mapping[str, Account], at: int) -> None:
        self._found = found
        self._accounts = accounts
        self._at = at
        self._by_name: dict[str, list[str]] | None = None

    def of(self, uids: Iterable[str]) -> tuple[Mounter, ...]:
        """Of these pods, as far as they count; the one that was seen last comes last."""
        running = [uid for uid in uids if self._has_run(uid)]
        owners = (self._owner(uid) for uid in sorted(running, key=self._order))
        return tuple(
            Mounter(owner.user, owner.primary_group)
            for owner in owners
            if owner.user not in {"", ERASED}
        )

    def named(self, name: str) -> tuple[Mounter, ...]:
        """Of the pods of this name: KubeSpawner names pods and directories after the same text."""
        if self._by_name is None:
            self._by_name = defaultdict(list)
            for uid, account in self._accounts.items():
                self._by_name[account.pod.name].append(uid)
            for uid, seen in self._found.sightings.items():
                if uid not in self._accounts:
                    self._by_name[seen.name].append(uid)
        return self.of(self._by_name.get(name, ()))

    def _has_run(self, uid: str) -> bool:
        """Whether the pod was running by then.

        Waiting pods do not count: only some windows tell whose they are, so schedules would differ.
        """
        account, seen = self._accounts.get(uid), self._found.sightings.get(uid)
        since = account.pod.first_running_at if account else seen and seen.first_running_at
        return since is not None and since <= self._at

    def _order(self, uid: str) -> tuple[float, str]:
        seen, account = self._found.sightings.get(uid), self._accounts.get(uid)
        known = account.pod.last_listed_at if account else 0.0
        return max(known, seen.last_listed_at if seen else 0.0), uid

    def _owner(self, uid: str) -> Owner:
        account = self._accounts.get(uid)
        if account is not None and account.pod.owner:
            return account.pod.owner
        return self._found.owners.get(uid, Owner())
