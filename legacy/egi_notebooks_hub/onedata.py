"""What was here has another form now."""

raise ImportError(
    "egi_notebooks_hub.onedata is not part of this package:"
    " log in with egi-checkin, and set c.EGISpawner.datahub (docs/hub/additions.py)"
)
