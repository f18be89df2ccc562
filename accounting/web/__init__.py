"""The pages: server-rendered, usable without scripts."""

from accounting.web import assets
from accounting.web.pages import (
    deliveries,
    gaps,
    mine,
    overview,
    reconciliation,
    record,
    records,
    reference,
    republish,
    runs,
    usage,
)
from accounting.web.refusal import error_page

__all__ = ["error_page", "routers"]

routers = [
    part.router
    for part in (
        reference,
        assets,
        overview,
        usage,
        records,
        record,
        republish,
        reconciliation,
        deliveries,
        gaps,
        runs,
        mine,
    )
]
