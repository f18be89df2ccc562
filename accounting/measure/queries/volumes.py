"""The questions about home volumes, and the answers: each day of a window by itself."""

from collections.abc import Mapping

from accounting.measure.promql import volumes as promql
from accounting.measure.source.querier import Answer, Querier
from accounting.measure.usage.samples import Row, Samples
from accounting.measure.usage.volumes import seen_volumes
from accounting.model.pods import Account
from accounting.model.time import Window
from accounting.model.volumes import DAY_SECONDS, VolumeSeen


class VolumeQuery:
    """Asks about all volumes of the namespace, if they are measured at all.

    Args:
        querier: whom to ask.
        window: about what.
    """

    def __init__(self, querier: Querier, window: Window) -> None:
        self._namespace = querier.scope.namespace
        self._asked: list[tuple[int, int, Answer[Row], Answer[Row]]] = []
        for day, part in _days(window) if querier.scope.has_volumes else ():
            asked = querier.ask(promql.claims, part), querier.ask(promql.use, part)
            self._asked.append((day, part.end, *asked))

    def read(self, found: Samples, accounts: Mapping[str, Account]) -> list[VolumeSeen]:
        """Wait for the answers: what they say, day by day."""
        return [
            seen
            for day, at, claims, use in self._asked
            for seen in seen_volumes(
                self._namespace,
                day,
                at,
                claims.read(),
                use.read(),
                found=found,
                accounts=accounts,
            )
        ]


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
