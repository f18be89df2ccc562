"""Messages are put together beside all that is written meanwhile, and with little work."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import event

from accounting.delivery import pusher
from accounting.delivery.outbox import Outbox
from accounting.delivery.outlets.records import CloudRecords
from accounting.model.messages import Entry, Limit, MessageState
from accounting.store import erasure
from accounting.store.engine.database import Database
from accounting.store.records import Records
from tests.delivery.books import Inbox, account, opened, ran_on, table_of, table_of_ours, write

TO = "inbox://example.org"


class Interrupted(CloudRecords):
    """Records that something is done to after they were read and before they are stored."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        self.meanwhile = [meanwhile]
        self.times = 0

    def due(self, *asked: Any) -> tuple[list[Entry], int]:
        found = super().due(*asked)
        self.times += 1
        while self.meanwhile:
            self.meanwhile.pop()()
        return found


def test_a_record_that_changes_while_a_message_is_put_together_goes_out_as_it_is_then(
    ledger: Database,
) -> None:
    """Whoever writes does not wait until the message is together."""
    write(ledger, [account(1), account(2)])
    outlet = Interrupted(lambda: write(ledger, [ran_on(account(1), 60)]))
    outbox = Outbox(ledger, outlet)
    assert outbox.fill(TO, None, Limit(500), 1.0).records == 2
    message = outbox.next(TO)
    assert message is not None
    assert table_of([message.body]) == table_of_ours(ledger)
    assert (outbox.due_count(destination=TO), outlet.times) == (0, 2)


def test_a_user_who_is_erased_while_a_message_is_put_together_is_not_named_in_it(
    ledger: Database,
) -> None:
    write(ledger, [account(1)])
    (user,) = {record.user for record in Records(ledger).find()}
    outbox = Outbox(ledger, Interrupted(lambda: erasure.erase_user(ledger, user)))
    outbox.fill(TO, None, Limit(500), 1.0)
    message = outbox.next(TO)
    assert message is not None
    assert user not in message.body


def test_a_message_that_is_put_together_while_nothing_changes_is_read_once(
    ledger: Database,
) -> None:
    write(ledger, [account(1)])
    elsewhere = partial(Outbox(ledger).fill, "inbox://other.example.org", None, Limit(1), 1.0)
    outlet = Interrupted(elsewhere)
    assert Outbox(ledger, outlet).fill(TO, None, Limit(500), 1.0).records == 1
    assert outlet.times == 1


def test_a_new_message_is_being_sent_as_soon_as_it_is_stored(ledger: Database) -> None:
    write(ledger, [account(1)])
    outbox = Outbox(ledger)
    message = outbox.fill(TO, None, Limit(500), 7.0).message
    assert message is not None
    assert (message.state, message.attempts, message.tried_at) == (MessageState.SENDING, 1, 7.0)
    assert outbox.next(TO) == message
    assert outbox.fill(TO, None, Limit(500), 8.0).message is None


def test_a_push_of_little_reads_little_however_much_was_told_before(tmp_path: Path) -> None:
    few, many = (_work_of_little(tmp_path / str(count), count) for count in (20, 2000))
    assert many < 2 * few


def _work_of_little(folder: Path, told: int) -> int:
    """How much work SQLite has with a push of one record, after others were told."""
    folder.mkdir()
    steps: list[None] = []
    with opened(folder) as database:
        pages = [ran_on(account(number), 60, ended=True) for number in range(told)]
        write(database, pages)
        pusher.Pusher(Outbox(database), Inbox()).push()
        for page in pages[told // 2 : told // 2 + 2]:
            pusher.Pusher(Outbox(database), Inbox()).push()
            write(database, [ran_on(page, 60, ended=True)])
        event.listen(
            database.engine,
            "checkout",
            lambda one, *_: one.set_progress_handler(lambda: steps.append(None), 10),
        )
        assert pusher.Pusher(Outbox(database), Inbox()).push().delivered == 1
    return len(steps)
