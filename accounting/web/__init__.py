"""The pages: server-rendered, usable without scripts."""

from accounting.web.pages import router
from accounting.web.reference import router as reference
from accounting.web.refusal import error_page

__all__ = ["error_page", "reference", "router"]
