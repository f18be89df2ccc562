"""The questions about home volumes, and the answers: each day of a window by itself."""

from collections.abc import Iterable, Mapping
from functools import cached_property

from accounting.measure.promql import ksm
from accounting.measure.promql import volumes as promql
from accounting.measure.source.querier import Querier
from accounting.measure.usage.samples import Row, Samples, owner_of
from accounting.measure.usage.volumes import seen_volumes
from accounting.model.pods import Account
from accounting.model.time import Window
from accounting.model.volumes import DAY_SECONDS, VolumeSeen
from accounting.store.ledger import Ledger


class VolumeQuery:
    """Asks about all volumes of the namespace, if they are measured at all.

    It asks about the hours that end within a window: a day's figure is its last one, so nothing is
    lost, and of a poll every five minutes only each twelfth asks.

    Args:
        querier: whom to ask.
        window: about what.
    """

    def __init__(self, querier: Querier, window: Window) -> None:
        self._to = querier
        self._window = window
        hours = window.hours if querier.scope.has_volumes else None
        self._asked = [_Asked(querier, day, part) for day, part in _days(hours)] if hours else []

    @property
    def tells_mounts(self) -> bool:
        """Whether it asks about the very window, so that nobody else need ask about claims."""
        return [asked.part for asked in self._asked] == [self._window]

    def mounts(self) -> tuple[list[Row], list[Row]]:
        """If ``tells_mounts``: the rows of which pods mount which claims, and of claims' sizes."""
        (asked,) = self._asked
        sizes = [row for row in asked.claims if row[0].get("__name__") == promql.SIZE]
        return asked.mounts, sizes

    def read(
        self, found: Samples, accounts: Mapping[str, Account], ledger: Ledger
    ) -> list[VolumeSeen]:
        """Wait for the answers: what they say, day by day.

        Args:
            found: what the window says so far.
            accounts: the pages of its pods.
            ledger: knows the pods that had ended by then.
        """
        seen: list[VolumeSeen] = []
        for asked in self._asked:
            earlier = self._earlier(asked, found, accounts)
            seen += seen_volumes(
                self._to.scope.namespace,
                asked.day,
                asked.part.end,
                asked.claims,
                asked.use,
                mounts=asked.mounts,
                found=found,
                accounts={**accounts, **ledger.accounts(earlier)} if earlier else accounts,
            )
        return seen

    def _earlier(
        self, asked: "_Asked", found: Samples, accounts: Mapping[str, Account]
    ) -> set[str]:
        """The uids of pods that may mount volumes and had ended before the window."""
        uids = {labels.get("uid", "") for labels, _ in asked.mounts}
        has_directories = any(labels.get("__name__") == promql.DIRECTORY for labels, _ in asked.use)
        start = asked.part.start
        if has_directories and start < self._window.start:
            uids |= self._to.uids_listed(Window(start, self._window.start))
        return uids - accounts.keys() - found.sightings.keys() - {""}


class _Asked:
    """The questions about a day's part; each answer is waited for when it is looked at first.

    Args:
        querier: whom to ask.
        day: which.
        part: of the day.
    """

    def __init__(self, querier: Querier, day: int, part: Window) -> None:
        self.day = day
        self.part = part
        self._to = querier
        self._claims = querier.ask_in_parts(promql.claims, part)
        self._use = querier.ask_in_parts(promql.use, part)
        self._mounts = querier.ask_in_parts(ksm.mounts, part)

    @cached_property
    def use(self) -> list[Row]:
        """What is used of volumes and directories."""
        return self._use.read()

    @cached_property
    def mounts(self) -> list[Row]:
        """Which pods mount which claims."""
        return self._mounts.read()

    @cached_property
    def claims(self) -> list[Row]:
        """What claims are; of those that do not say it at the part's end, what they said before."""
        rows = self._claims.read()
        if self.part.seconds <= promql.DESCRIBED_SECONDS:
            return rows
        by = "persistentvolumeclaim"
        return self._to.named(promql.descriptions, self.part, _lacking(rows), by).read() + rows


def _lacking(rows: Iterable[Row]) -> set[str]:
    """The claims that do not say when they were made, or whose they are."""
    sized, made, owned = set[str](), set[str](), set[str]()
    for labels, _ in rows:
        name, metric = labels.get("persistentvolumeclaim", ""), labels.get("__name__")
        if metric == promql.SIZE:
            sized.add(name)
        elif metric == promql.CREATED:
            made.add(name)
        elif owner_of(labels).user:
            owned.add(name)
    return sized - (made & owned)


def _days(window: Window) -> list[tuple[int, Window]]:
    """The parts of a window by their days; midnight belongs to the day that ends."""
    first, last = window.start // DAY_SECONDS, (window.end - 1) // DAY_SECONDS
    return [
        (
            day,
            Window(max(window.start, day * DAY_SECONDS), min(window.end, (day + 1) * DAY_SECONDS)),
        )
        for day in range(first, last + 1)
    ]
