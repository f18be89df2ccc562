"""Its import fails, with the new name."""

raise ImportError(
    "egi_notebooks_hub.services.api_wrapper is not part of this package:"
    " run 'python -m hub.services.wrapper' (docs/hub/programs.py)"
)
