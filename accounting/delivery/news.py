"""What keeps messages and records from going out, and no earlier push has told.

A job that runs every night must not fail each time because of what was told before.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select, update

from accounting.model.messages import UNDELIVERED, MessageState
from accounting.store.engine.database import Database
from accounting.store.tables import messages, outlets


@dataclass(frozen=True, slots=True)
class News:
    """How much is stuck that no earlier push has told.

    Attributes:
        parked: messages that were set aside.
        elsewhere: messages that wait for a destination that the settings do not have.
        left_out: records that their destination cannot carry.
    """

    parked: int = 0
    elsewhere: int = 0
    left_out: int = 0

    def __bool__(self) -> bool:
        return bool(self.parked or self.elsewhere or self.left_out)


def report(database: Database, left_out: Mapping[str, int], now: float) -> News:
    """What is new; it is not new any more afterwards.

    Args:
        database: the ledger's.
        left_out: by destination: records that a push to there could not put into messages.
        now: Unix seconds.
    """
    c, known = messages.c, select(outlets.c.destination)
    parked = c.state == MessageState.PARKED.value
    elsewhere = c.state.in_(UNDELIVERED) & c.destination.not_in(known)
    with database.begin() as connection:
        untold = [
            connection.scalar(select(func.count()).where(stuck, c.reported_at.is_(None))) or 0
            for stuck in (parked & ~elsewhere, elsewhere)
        ]
        connection.execute(
            update(messages)
            .where(parked | elsewhere, c.reported_at.is_(None))
            .values(reported_at=now)
        )
        more = 0
        for destination, count in left_out.items():
            of = outlets.c.destination == destination
            told = connection.scalar(select(outlets.c.left_out).where(of)) or 0
            more += max(0, count - told)
            connection.execute(update(outlets).where(of).values(left_out=count))
    parked_new, elsewhere_new = untold
    return News(parked_new, elsewhere_new, more)
