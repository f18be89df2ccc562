"""Records found by the state of the message that took them."""

import pytest
from sqlalchemy import update

from accounting.delivery.outbox import Outbox
from accounting.delivery.pusher import Pusher
from accounting.lookup import records as lookup
from accounting.store.tables import messages
from tests.api.serving import Serve
from tests.delivery.books import Inbox, account, write


@pytest.mark.parametrize("few", [1000, 0], ids=["few have come so far", "many"])
def test_records_are_found_by_what_their_message_waits_for(
    few: int, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "FEW", few)
    running = serve()
    for number in range(3):
        write(running.service.database, [account(number)])
        Pusher(Outbox(running.service.database), Inbox(), now=running.clock).push()
    with running.service.database.begin() as connection:
        for number, state in ((1, "parked"), (2, "pending")):
            its = messages.c.id == number
            connection.execute(update(messages).where(its).values(state=state, sent_at=None))
    for delivery, number in (("parked", 0), ("pending", 1), ("sent", 2)):
        found = running.get(f"/api/v1/records?delivery={delivery}&total=true").json()
        assert [r["uid"] for r in found["records"]] == [account(number).pod.uid]
        assert found["total"] == 1
    page = running.get("/records?delivery=parked").text
    assert ("They are not added up here" in page) == (few == 0)
    assert ("1</data> record matches" in page) == (few != 0)
