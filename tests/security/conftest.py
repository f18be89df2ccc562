"""The API's fixtures; what attacks them is here."""

from tests.api.conftest import moment, prometheus, serve, serve_all

__all__ = ["moment", "prometheus", "serve", "serve_all"]
