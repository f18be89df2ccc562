"""accelerators: what pods ask for, one by one, and what records say of each.

Revision: 0008, after 0007
"""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_PODS = sa.table(
    "pods",
    *(sa.column(name) for name in ("uid", "gpu_count", "gpu_resource", "resizes", "accelerators")),
)


_RECORDS = sa.table(
    "records",
    *(
        sa.column(name)
        for name in (
            "uid",
            "year",
            "month",
            "gpu_count",
            "gpu_resource",
            "used_wall_seconds",
            "accelerators",
        )
    ),
)


def upgrade() -> None:
    for table in ("pods", "records"):
        kept = sa.Column(
            "accelerators",
            sa.Text(),
            nullable=False,
            server_default="[]",
            comment="JSON: see rows.py",
        )
        op.add_column(table, kept)
    c = _PODS.c
    for uid, count, resource, resizes in _rows(
        sa.select(c.uid, c.gpu_count, c.gpu_resource, c.resizes).where(
            (c.gpu_resource != "") | (c.resizes != "[]")
        )
    ):
        sizes = [(at, [*size[:4], _held(*size[4:])]) for at, size in json.loads(resizes)]
        held = _held(count, resource)
        _update(uid, accelerators=json.dumps([held] if held else []), resizes=json.dumps(sizes))
    op.drop_column("pods", "gpu_count")
    op.drop_column("pods", "gpu_resource")
    _tell_records()


def downgrade() -> None:
    op.add_column("pods", sa.Column("gpu_count", sa.Float()))
    op.add_column("pods", sa.Column("gpu_resource", sa.Text(), nullable=False, server_default=""))
    c = _PODS.c
    for uid, kept, resizes in _rows(
        sa.select(c.uid, c.accelerators, c.resizes).where(
            (c.accelerators != "[]") | (c.resizes != "[]")
        )
    ):
        count, resource = _summed(next(iter(json.loads(kept)), []))
        sizes = [(at, [*size[:4], *_summed(size[4])]) for at, size in json.loads(resizes)]
        _update(uid, gpu_count=count, gpu_resource=resource, resizes=json.dumps(sizes))
    op.drop_column("records", "accelerators")
    op.drop_column("pods", "accelerators")


def _tell_records() -> None:
    """Until now only GPUs were counted, whole ones and MIG slices, by their resources' names."""
    c = _RECORDS.c
    for uid, year, month, count, resource, seconds in _rows(
        sa.select(c.uid, c.year, c.month, c.gpu_count, c.gpu_resource, c.used_wall_seconds).where(
            c.gpu_resource != ""
        )
    ):
        told = [
            {
                "resource": name,
                "type": "GPU",
                "model": name,
                "count": amount,
                "share": 1.0,
                "held_seconds": seconds,
                "active_seconds": None,
                "joules": None,
                "quality": "not measured",
            }
            for name, amount in _held(count, resource)
        ]
        of = (c.uid == uid) & (c.year == year) & (c.month == month)
        op.execute(sa.update(_RECORDS).where(of).values(accelerators=json.dumps(told)))


def _rows(query: sa.Select[Any]) -> list[Any]:
    return list(op.get_bind().execute(query))


def _update(uid: str, **values: Any) -> None:
    op.execute(sa.update(_PODS).where(_PODS.c.uid == uid).values(**values))


def _held(count: float | None, resource: str) -> list[tuple[str, float]]:
    """Of several resources only the sum was known: each gets its part."""
    names = [name for name in resource.split(";") if name]
    return [(name, (count or 0.0) / len(names)) for name in names]


def _summed(held: list[Any]) -> tuple[float | None, str]:
    return (sum(n for _, n in held) if held else None), ";".join(name for name, _ in held)
