"""The words of the domain as frozen values; standard library only.

Times are Unix seconds (UTC): the metrics, the database and APEL all speak them. A name ending in
``_at`` is such a time; one ending in ``_seconds``, ``_bytes`` or ``_mb`` carries its unit.
"""
