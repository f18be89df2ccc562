"""Records found by the state of the message that took them."""

import pytest
from sqlalchemy import update

from accounting.delivery.outbox import Outbox
from accounting.delivery.pusher import Pusher
from accounting.lookup import records as lookup
from accounting.store.tables import messages
from tests.api.serving import Serve
from tests.delivery.books import Inbox, account, write
from tests.statements import asked_of


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


@pytest.mark.parametrize("few", [1000, 0], ids=["few are due", "many"])
def test_very_many_that_are_due_are_met_in_the_order_of_their_list(
    few: int, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "FEW", few)
    running = serve()
    write(running.service.database, [account(number) for number in range(5)])

    def pages(question: str) -> tuple[list[str], bool]:
        found: list[str] = []
        cursor = ""
        with asked_of(running.service.database.engine) as asked:
            while len(found) < 10:
                path = f"/api/v1/records?limit=2&{question}&cursor={cursor}"
                answer = running.get(path).json()
                found += [one["uid"] for one in answer["records"]]
                if not (cursor := answer["next"]):
                    break
        index = "INDEXED BY ix_records_year_month_start_at_uid"
        return found, any(index in one.statement for one in asked)

    all_of_them, _ = pages("sort=-month")
    assert pages("sort=-month&delivery=due") == (all_of_them, few == 0)
    assert pages("sort=month&delivery=due") == (all_of_them[::-1], few == 0)
    mine, is_in_order = pages("delivery=due&user=user-1")
    assert len(mine) < len(all_of_them) == 5
    assert not is_in_order
