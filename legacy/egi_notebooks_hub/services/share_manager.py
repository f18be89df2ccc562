"""Its import fails, with the new name."""

raise ImportError(
    "egi_notebooks_hub.services.share_manager is not part of this package:"
    " run 'python -m hub.services.sharing' (docs/hub/sharing.py)"
)
