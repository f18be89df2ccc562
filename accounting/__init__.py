"""Exact usage accounting for EGI Notebooks: from Prometheus to signed APEL cloud records."""
