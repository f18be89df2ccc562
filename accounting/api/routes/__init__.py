"""The REST API's paths, one module for each subject."""

from accounting.api.routes import (
    health,
    ledger,
    messages,
    notebooks,
    reconciliations,
    records,
    runs,
    storage,
    summaries,
)

__all__ = ["routers"]

routers = [
    part.router
    for part in (
        records,
        notebooks,
        summaries,
        storage,
        ledger,
        messages,
        reconciliations,
        runs,
        health,
    )
]
