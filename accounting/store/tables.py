"""The database's tables: the ledger, the records, the outbox, and what was delivered.

Times are Unix seconds, durations seconds, as everywhere in the domain.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    false,
    func,
    literal_column,
    text,
    true,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
    }
)

# SQLite gives automatic numbers to INTEGER keys only.
_Number = BigInteger().with_variant(Integer, "sqlite")

pods = Table(
    "pods",
    metadata,
    Column("uid", String(64), primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("first_running_at", Float, nullable=False),
    Column("last_running_at", Float, nullable=False),
    Column("last_listed_at", Float, nullable=False),
    Column("created_at", Float),
    Column("started_at", Float),
    Column("completed_at", Float),
    Column("user", Text, nullable=False),
    Column("primary_group", Text, nullable=False),
    Column("flavor", Text, nullable=False),
    Column("cpu_request", Float),
    Column("cpu_limit", Float),
    Column("memory_request_bytes", Float),
    Column("memory_limit_bytes", Float),
    Column("image", Text, nullable=False),
    Column("disk_bytes", Float),
    Column("peak_memory_bytes", Float),
    Column("ended", Boolean, nullable=False),
    Column("ended_in_gap", Boolean, nullable=False),
    Column("owner_known", Boolean, nullable=False),
    Column("counters", Text, nullable=False, comment="JSON: see ledger.py"),
    Column("readings", Text, nullable=False, comment="JSON: see ledger.py"),
    Column("resizes", Text, nullable=False, server_default="[]", comment="JSON: see rows.py"),
    Column("accelerators", Text, nullable=False, server_default="[]", comment="JSON: see rows.py"),
    Column("lost_at", Float, comment="when its node was lost"),
    Column("days", Text, nullable=False, server_default="[]", comment="JSON: see rows.py"),
    sqlite_with_rowid=False,
)
# Users' own usage is found by the name that the hub wrote. A hash index: only equality is asked,
# and names may be longer than PostgreSQL's ordered indexes take.
Index("ix_pods_user", pods.c.user, postgresql_using="hash")
# Every poll reads the running pods, which are few among all.
_still = text("NOT ended")
Index("ix_pods_running", pods.c.uid, sqlite_where=_still, postgresql_where=_still)

# The figures of running pods, which every poll rewrites. A table of their own keeps them together:
# in ``pods`` they are scattered among all pods that ever ran.
figures = Table(
    "figures",
    metadata,
    Column("uid", String(64), primary_key=True),
    Column("last_running_at", Float, nullable=False),
    Column("last_listed_at", Float, nullable=False),
    Column("counters", Text, nullable=False, comment="JSON: see ledger.py"),
    Column("readings", Text, nullable=False, comment="JSON: see ledger.py"),
    Column("days", Text, nullable=False, server_default="[]", comment="JSON: see rows.py"),
    sqlite_with_rowid=False,
)


def _figures() -> list[Column[Any]]:
    """What a total has; see ``lookup/usage.py`` for their meaning."""
    return [
        Column("pods", BigInteger, nullable=False),
        Column("wall", BigInteger, nullable=False),
        Column("cpu", BigInteger, nullable=False),
        Column("core_seconds", Float, nullable=False),
        Column("memory_mb_seconds", Float, nullable=False),
        Column("gpu_seconds", Float, nullable=False),
        Column("pods_without_cpu", BigInteger, nullable=False),
        Column("joules", Float, nullable=False),
        Column("joules_estimated", Float, nullable=False),
        Column("without_energy", BigInteger, nullable=False, comment="pods"),
    ]


# Clustered by month, as records are summed and listed. SQLite stores the rows in this order.
records = Table(
    "records",
    metadata,
    Column("uid", String(64)),
    Column("year", Integer),
    Column("month", Integer),
    Column("site", Text, nullable=False),
    Column("compute_service", Text, nullable=False),
    Column("cloud_type", Text, nullable=False),
    Column("machine", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("group", Text, nullable=False),
    Column("vo", Text, nullable=False),
    Column("fqan", Text, nullable=False),
    Column("vo_rule", Text, nullable=False),
    Column("vo_source", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("start_at", BigInteger, nullable=False),
    Column("end_at", BigInteger),
    Column("wall_seconds", BigInteger, nullable=False),
    Column("cpu_seconds", BigInteger),
    Column("cpu_count", Float),
    Column("received_gb", BigInteger),
    Column("sent_gb", BigInteger),
    Column("memory_mb", BigInteger),
    Column("disk_gb", BigInteger),
    Column("image", Text, nullable=False),
    Column("flavor", Text, nullable=False),
    Column("gpu_count", Float),
    Column("gpu_resource", Text, nullable=False),
    Column("benchmark_type", Text, nullable=False),
    Column("benchmark", Float),
    Column("flags", Text, nullable=False, comment="JSON list"),
    Column("held", String(32), nullable=False, comment="why it does not go out; empty: it does"),
    Column("problem", Text, nullable=False),
    Column("digest", String(64), nullable=False, comment="SHA-256 of the text that goes out"),
    Column(
        "used_wall_seconds",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="within the month",
    ),
    Column("used_cpu_seconds", BigInteger, comment="within the month"),
    Column("core_seconds", Float, comment="held within the month: cores x seconds"),
    Column("memory_mb_seconds", Float, comment="held within the month: MB x seconds"),
    Column("gpu_seconds", Float, comment="held within the month: accelerators x seconds"),
    Column("accelerators", Text, nullable=False, server_default="[]", comment="JSON: see rows.py"),
    Column("spans", Text, nullable=False, server_default="[]", comment="JSON: see rows.py"),
    Column("joules", Float, comment="taken within the month"),
    Column(
        "energy_quality",
        String(32),
        nullable=False,
        server_default="",
        comment="how well that is known",
    ),
    Column(
        "apart",
        Boolean,
        nullable=False,
        server_default=true(),
        comment="in no total: see totals.py",
    ),
    PrimaryKeyConstraint("year", "month", "uid"),
    # Lists follow an index, so that a page is quick however long the list is. No index holds a
    # figure, because every poll moves those.
    Index(None, "year", "month", "start_at", "uid"),
    Index("ix_records_year_month_vo", "year", "month", "vo", "start_at", "uid"),
    Index("ix_records_uid", "uid", "year", "month"),
    sqlite_with_rowid=False,
)
# PostgreSQL refuses long values in an ordered index, so the index is partial. Queries by name
# repeat its condition to use it.
MOST_NAME = 255
has_usual_name = func.length(records.c.user) <= literal_column(str(MOST_NAME))
"""Of records whose users' names are short enough for the index; to be asked with such names."""
Index(
    "ix_records_user",
    *(records.c[name] for name in ("user", "year", "month", "start_at", "uid")),
    sqlite_where=has_usual_name,
    postgresql_where=has_usual_name,
)
# Every scrape of the metrics counts the held records, which are few among all.
_stays = text("held <> ''")
Index("ix_records_held", records.c.held, sqlite_where=_stays, postgresql_where=_stays)

# Sums look at these records one by one; they are few.
_apart = text("apart")
Index(
    "ix_records_apart",
    *(records.c[name] for name in ("year", "month", "uid")),
    sqlite_where=_apart,
    postgresql_where=_apart,
)


def _totals(name: str, keys: Iterable[str], counted: Column[Any]) -> Table:
    """What all other records come to, by these keys: see ``totals.py``."""
    columns = [*map(_key, keys), *_figures(), counted]
    return Table(name, metadata, *columns, sqlite_with_rowid=False)


def _key(name: str) -> Column[Any]:
    kind = Integer if name in {"year", "month", "day"} else Text
    return Column(name, kind, primary_key=True, comment="since 1970" if name == "day" else None)


def _count(name: str, comment: str | None = None, **more: Any) -> Column[Any]:
    return Column(name, BigInteger, nullable=False, comment=comment, **more)


_EARLIER = "pods without a part in the month before"
_NAMES = ("vo", "user", "flavor", "image")
month_totals = _totals(
    "month_totals", ("year", "month", *_NAMES), _count("begun", _EARLIER, server_default="0")
)
day_totals = _totals(
    "day_totals", ("day", *_NAMES), _count("begun", "pods of which it is the first day")
)
# The same without flavours and images: a user's month is one row here, and up to dozens there.
month_user_totals = _totals(
    "month_user_totals", ("year", "month", "vo", "user"), _count("begun", _EARLIER)
)
# The same without users: a VO's month is a row here for each image, and thousands there.
month_image_totals = _totals(
    "month_image_totals", ("year", "month", "vo", "flavor", "image"), _count("begun", _EARLIER)
)
# What those come to by VO alone, and how many users they are of: most questions ask for no more.
month_vo_totals = _totals("month_vo_totals", ("year", "month", "vo"), _count("users"))
day_vo_totals = _totals("day_vo_totals", ("day", "vo"), _count("users"))

revisions = Table(
    "revisions",
    metadata,
    Column("year", Integer, primary_key=True),
    Column("month", Integer, primary_key=True),
    Column("revision", BigInteger, nullable=False, comment="grows when a record of it is written"),
)

windows = Table(
    "windows",
    metadata,
    Column("start", BigInteger, primary_key=True),
    Column("end", BigInteger, nullable=False),
    Column("spoke", Boolean, nullable=False),
    Column("pods", Integer, nullable=False),
    Column("rejected", Integer, nullable=False, comment="values that could not be true"),
    Column("polled_at", Float, nullable=False),
)

gaps = Table(
    "gaps",
    metadata,
    Column("start_at", Float, primary_key=True),
    Column("end_at", Float),
)

progress = Table(
    "progress",
    metadata,
    Column("id", Integer, primary_key=True, comment="always 1"),
    Column("watermark", BigInteger, nullable=False),
    Column("spoken_at", Float),
    Column("interval_seconds", Float, nullable=False),
    Column("revision", Integer, nullable=False, comment="changes to pods that no poll made"),
)

messages = Table(
    "messages",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("empaid", String(64), nullable=False, unique=True),
    Column("destination", Text, nullable=False),
    Column("state", String(16), nullable=False, comment="see outbox.State"),
    Column("body", Text, nullable=False),
    Column("records", Integer, nullable=False),
    Column("built_at", Float, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("tried_at", Float, comment="when the last attempt began"),
    Column("error", Text, nullable=False, comment="what went wrong last, without names or secrets"),
    Column("sent_at", Float),
    Column("broker_id", Text, nullable=False, comment="the id the broker gave it"),
    Column("next_try_at", Float, comment="not before; nothing: at once"),
    Column("error_kind", String(32), nullable=False, server_default="", comment="see outbox.Kind"),
    Column("cure", Text, nullable=False, server_default="", comment="what the operator does"),
    Column("origin", _Number, nullable=False, server_default="0", comment="the whole's number"),
    Column("part", String(32), nullable=False, server_default="", comment="of a split: a, b, aa …"),
    Column("reported_at", Float, comment="when a push told that it is stuck; nothing: none did"),
    # The queue: first in, first out; the parts of a split message keep its place.
    Index(None, "destination", "state", "origin", "part"),
    # How each destination stands: SQLite would read past all bodies to the times behind them.
    Index(None, "destination", "state", "built_at", "sent_at"),
    Index(None, "origin"),
)

message_records = Table(
    "message_records",
    metadata,
    Column("message_id", _Number, primary_key=True),
    Column("uid", String(64), primary_key=True),
    Column("year", Integer, primary_key=True),
    Column("month", Integer, primary_key=True),
    Column("digest", String(64), nullable=False),
    ForeignKeyConstraint(["message_id"], ["messages.id"]),
    Index(None, "uid"),
)

stops = Table(
    "stops",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("stopped_at", Float, nullable=False),
    Column("kind", String(32), nullable=False, comment="see outbox.Kind"),
    Column("reason", Text, nullable=False),
    Column("cure", Text, nullable=False),
    Column("message_id", _Number, comment="what was being sent"),
    Column("probe_at", Float, comment="when it is tried again; nothing: at every push"),
)

# The destinations in the settings, as the last push found them.
outlets = Table(
    "outlets",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("kind", String(32), nullable=False, comment="what it takes: see model/messages.py"),
    Column("position", Integer, nullable=False, comment="its place in the settings"),
    Column(
        "left_out",
        Integer,
        nullable=False,
        server_default="0",
        comment="records that it cannot carry, as the last push told",
    ),
)

# What each destination was last told of each figure. ``uid``, year and month are the figure's key:
# a pod's for records, and otherwise what the outlet gives it.
queued = Table(
    "queued",
    metadata,
    Column("year", Integer),
    Column("month", Integer),
    Column("uid", String(64)),
    Column("destination", Text),
    Column("digest", String(64), comment="when last put into a message; nothing: send it again"),
    Column(
        "final",
        Boolean,
        nullable=False,
        server_default=false(),
        comment="it was the month's last word",
    ),
    Column("message_id", _Number, comment="the message that took it last"),
    PrimaryKeyConstraint("year", "month", "uid", "destination"),
    Index(None, "message_id"),
    sqlite_with_rowid=False,
)

# At this revision of the month, a destination had been told everything: nothing to look for.
settled = Table(
    "settled",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("year", Integer, primary_key=True),
    Column("month", Integer, primary_key=True),
    Column("revision", BigInteger, nullable=False),
)

# Records that joined a total after a destination had been told all of their month. Only these, and
# records that are apart, can say what it was not told.
joined = Table(
    "joined",
    metadata,
    Column("year", Integer),
    Column("month", Integer),
    Column("uid", String(64)),
    Column("revision", BigInteger, nullable=False, comment="of the month, when it joined"),
    PrimaryKeyConstraint("year", "month", "uid"),
    sqlite_with_rowid=False,
)

# What each receiver must hold after all deliveries: same key, the last arrival wins.
delivered = Table(
    "delivered",
    metadata,
    Column("year", Integer),
    Column("month", Integer),
    Column("uid", String(64)),
    Column("destination", Text),
    Column("message_id", _Number, nullable=False),
    Column("digest", String(64), nullable=False, comment="SHA-256 of the text"),
    Column("text", Text, nullable=False, comment="the record as it went out; empty: forgotten"),
    Column("delivered_at", Float, nullable=False),
    PrimaryKeyConstraint("year", "month", "uid", "destination"),
    sqlite_with_rowid=False,
)

# The ids that a receiver has given our figures, by the figures' keys.
remote_ids = Table(
    "remote_ids",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("uid", String(64), primary_key=True, comment="the figure's key, as in queued"),
    Column("remote_id", Text, nullable=False),
    Column("empaid", String(64), nullable=False, comment="the message that told it last"),
)

# Held records that an operator was told of. A row counts only while the record is held for the same
# reason: see ``holds.py``.
holds = Table(
    "holds",
    metadata,
    Column("uid", String(64), primary_key=True),
    Column("year", Integer, primary_key=True),
    Column("month", Integer, primary_key=True),
    Column("held", String(32), nullable=False),
    Column("problem", Text, nullable=False),
    Column("reported_at", Float, nullable=False),
    Column("acknowledged_at", Float),
    Column("acknowledged_by", Text, nullable=False, server_default=""),
    Column("reason", Text, nullable=False, server_default=""),
)

# What the accounting portal showed of a month, beside what had been delivered; all are kept.
reconciliations = Table(
    "reconciliations",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("year", Integer, primary_key=True),
    Column("month", Integer, primary_key=True),
    Column("made_at", Float, primary_key=True),
    Column("source", Text, nullable=False, comment="where the portal's figures came from"),
    Column("unit", String(16), nullable=False, comment="what the portal's times were taken for"),
    Column("is_partial", Boolean, nullable=False),
    Column("lines", Text, nullable=False, comment="JSON: see reconciliations.py"),
)

# Home volumes, day by day (UTC). ``uid`` is the record's id, which is its key at the receiver.
volumes = Table(
    "volumes",
    metadata,
    Column("day", Integer, comment="since the epoch"),
    Column("namespace", Text),
    Column("name", Text, comment="its claim's; without a claim of its own, its directory's"),
    Column("uid", String(64), nullable=False),
    Column("year", Integer, nullable=False),
    Column("month", Integer, nullable=False),
    Column("site", Text, nullable=False),
    Column("system", Text, nullable=False),
    Column("share", Text, nullable=False),
    Column("owner", Text, nullable=False, comment="the user; empty: several mount it"),
    Column("is_annotated", Boolean, nullable=False, comment="the claim itself says whose it is"),
    Column("user", Text, nullable=False, comment="the owner as the record says it"),
    Column("group", Text, nullable=False),
    Column("vo", Text, nullable=False),
    Column("used_bytes", BigInteger, nullable=False),
    Column("allocated_bytes", BigInteger),
    Column("quality", String(32), nullable=False, comment="see model/volumes.py"),
    Column("measured_at", BigInteger, comment="perhaps on an earlier day; nothing: not measured"),
    Column("created_at", Float, comment="when the claim was made"),
    Column("seen_at", BigInteger, nullable=False, comment="how much of the day was read"),
    Column("held", String(32), nullable=False, comment="why it does not go out; empty: it does"),
    Column("problem", Text, nullable=False),
    Column("digest", String(64), nullable=False, comment="SHA-256 of the text that goes out"),
    PrimaryKeyConstraint("day", "namespace", "name"),
    # What is due is looked for by month, what a volume was before by its name.
    Index(None, "year", "month", "uid"),
    Index(None, "namespace", "name", "day"),
    Index("ix_volumes_uid", "uid"),
    sqlite_with_rowid=False,
)
