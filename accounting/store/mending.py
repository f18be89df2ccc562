"""Brings notebooks and their records back that a clock which ran ahead has dated in the future."""

from collections.abc import Sequence

from sqlalchemy import Connection, select, update

from accounting.model.pods import Account
from accounting.model.records import Record
from accounting.model.time import Month
from accounting.records import builder
from accounting.records.builder import Site
from accounting.records.clocks import brought_back
from accounting.records.identity import VoRules
from accounting.store import totals
from accounting.store.engine.clock import NOTEBOOKS_LATE_SECONDS, is_dated_ahead, notebooks_ahead
from accounting.store.engine.database import Database
from accounting.store.ledger import Ledger, note_change
from accounting.store.rows import POD_COLUMNS, RECORD_COLUMNS, account_row, record_row
from accounting.store.tables import figures, pods, progress, records

_AT_ONCE = 500


def mend_notebooks(database: Database, site: Site, rules: VoRules, now: float) -> int:
    """Bring their times back to now, and draw their records up anew; in how many notebooks.

    Nothing is sent back: what a receiver was told of a month in the future stays there.

    Args:
        database: the ledger's; nobody polls or pushes meanwhile.
        site: what records say of it.
        rules: how groups become VOs.
        now: Unix time.
    """
    with database.begin() as connection:
        late = now + NOTEBOOKS_LATE_SECONDS
        found: set[str] = set(connection.scalars(notebooks_ahead(late)))
        found |= set(connection.scalars(select(records.c.uid).where(is_dated_ahead(late))))
        if found:  # a poll that knows them in memory begins anew
            connection.execute(update(progress).values(revision=progress.c.revision + 1))
        uids = sorted(found)
        for start in range(0, len(uids), _AT_ONCE):
            chunk = Ledger.pages(connection, uids[start : start + _AT_ONCE])
            accounts = [brought_back(account, now) for account in chunk.values()]
            made = [record for one in accounts for record in builder.records(one, site, rules)]
            _write(connection, database, accounts, made)
    return len(found)


def _write(
    connection: Connection,
    database: Database,
    accounts: Sequence[Account],
    made: Sequence[Record],
) -> None:
    uids = [one.pod.uid for one in accounts]
    known = select(records.c.year, records.c.month, records.c.uid).where(records.c.uid.in_(uids))
    before = {(Month(year, month), uid) for year, month, uid in connection.execute(known)}
    after = {(record.month, record.uid) for record in made}
    database.write(connection, pods, POD_COLUMNS, [account_row(one) for one in accounts])
    database.delete(connection, figures, [(uid,) for uid in uids])
    with totals.following(connection, before | after):
        gone = [(*month, uid) for month, uid in before - after]
        database.delete(connection, records, gone)
        database.write(connection, records, RECORD_COLUMNS, [record_row(r) for r in made])
    note_change(connection, {month for month, _ in before | after})
