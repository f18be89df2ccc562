"""The questions about home volumes, and the answers: each day of a window by itself."""

from collections.abc import Iterable, Mapping

from accounting.measure.promql import volumes as promql
from accounting.measure.source.querier import Parts, Querier
from accounting.measure.usage.samples import Row, Samples
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
        self._claims: list[Row] | None = None
        self._asked: list[tuple[int, Window, Parts, Parts]] = []
        hours = window.hours if querier.scope.has_volumes else None
        for day, part in _days(hours) if hours else ():
            claims = querier.ask_in_parts(promql.claims, part)
            self._asked.append((day, part, claims, querier.ask_in_parts(promql.use, part)))

    @property
    def tells_mounts(self) -> bool:
        """Whether it asks about the very window, so that nobody else need ask about claims."""
        return not self._to.scope.lacks_uid and [part for _, part, *_ in self._asked] == [
            self._window
        ]

    def mounts(self) -> tuple[list[Row], list[Row]]:
        """If ``tells_mounts``: the rows of which pods mount which claims, and of claims' sizes."""
        ((*_, claims, _),) = self._asked
        self._claims = claims.read()
        mounts = [row for row in self._claims if row[0].get("__name__") == promql.MOUNTS]
        return mounts, [row for row in self._claims if row[0].get("__name__") == promql.SIZE]

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
        for day, part, claims, use in self._asked:
            of_claims = claims.read() if self._claims is None else self._claims
            of_use = use.read()
            earlier = self._earlier(part, of_claims, of_use, found, accounts)
            seen += seen_volumes(
                self._to.scope.namespace,
                day,
                part.end,
                of_claims,
                of_use,
                found=found,
                accounts={**accounts, **ledger.accounts(earlier)} if earlier else accounts,
            )
        return seen

    def _earlier(
        self,
        hours: Window,
        claims: Iterable[Row],
        use: Iterable[Row],
        found: Samples,
        accounts: Mapping[str, Account],
    ) -> set[str]:
        """The uids of pods that may mount volumes and had ended before the window."""
        uids = {
            labels.get("uid", "") for labels, _ in claims if labels.get("__name__") == promql.MOUNTS
        }
        has_directories = any(labels.get("__name__") == promql.DIRECTORY for labels, _ in use)
        if has_directories and hours.start < self._window.start:
            uids |= self._to.uids_listed(Window(hours.start, self._window.start))
        return uids - accounts.keys() - found.sightings.keys() - {""}


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
