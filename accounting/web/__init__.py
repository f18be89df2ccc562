"""The pages: server-rendered, usable without scripts."""

from fastapi import APIRouter

from accounting.web import assets
from accounting.web.pages import (
    deliveries,
    gaps,
    mine,
    overview,
    reconciliation,
    record,
    records,
    republish,
    runs,
    usage,
)
from accounting.web.pages.reference import router as reference
from accounting.web.refusal import error_page

__all__ = ["error_page", "reference", "router"]

router = APIRouter(include_in_schema=False)
for _part in (
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
):
    router.include_router(_part.router)
