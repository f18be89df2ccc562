"""The pages' routes."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from accounting.api.parts import Reader
from accounting.web.templating import templates

router = APIRouter(include_in_schema=False)


@router.get("/")
def overview(request: Request, _viewer: Reader) -> Response:
    """Is everything measured and delivered?"""
    return templates.TemplateResponse(request, "overview.html")
