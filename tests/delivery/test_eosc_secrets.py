"""Whatever EOSC's accounting answers: no secret, token or user in logs, reports or the database."""

import io
import json
from contextlib import suppress
from pathlib import Path

from sqlalchemy import text

from accounting.delivery.outbox import Outbox
from accounting.errors import AccountingError
from accounting.simulation.judges.eosc import Eosc, EoscStandin
from accounting.simulation.judges.standin import Fault, Trouble
from tests.delivery.books import NOVEMBER, account, opened, write
from tests.delivery.eosc import Site

SECRET, USER = "the-clients-secret", "a-private-person@example.org"
DAY = 86400


def test_no_secret_token_or_user_is_told_whatever_goes_wrong(
    tmp_path: Path, log: io.StringIO
) -> None:
    eosc = Eosc()
    shown = []
    with opened(tmp_path) as database, EoscStandin(eosc) as standin:
        site = Site(database, eosc, standin)
        eosc.now = lambda: site.at
        write(database, [account(1, user=USER)])
        site.measured(NOVEMBER.start + 3 * DAY)
        for on in ("TOKEN", "GET", "POST"):
            for what in (200, 302, 400, 401, 403, 404, 409, 415, 500, Fault.CLOSE):
                eosc.troubles += [Trouble(what, on)]
                report = site.push()
                shown += [str(report), str(report.error)]
                outbox = Outbox(database, site.outlet)
                outbox.resume(site.address)
                with suppress(AccountingError):  # it is not parked
                    outbox.retry(1)
        assert site.push().is_complete
        with database.begin(reading=True) as connection:
            columns = "SELECT error, cure, error_kind, broker_id FROM messages"
            shown += [str(row) for row in connection.execute(text(columns))]
    said = "\n".join([*shown, log.getvalue()])
    assert "message delivered" in said
    assert len(eosc.tokens) > 3
    for secret in (SECRET, USER, *eosc.tokens):
        assert secret not in said
    assert len(eosc.metrics) == 1
    assert json.dumps(eosc.metrics).count(USER) == 1
