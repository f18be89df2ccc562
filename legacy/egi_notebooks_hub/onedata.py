"""Its import fails, with the new name."""

raise ImportError(
    "egi_notebooks_hub.onedata is not part of this package:"
    " log in with egi-checkin, and set c.EGISpawner.datahub (docs/hub/additions.py)"
)
