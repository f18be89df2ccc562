"""Its import fails, with the new name."""

raise ImportError(
    "egi_notebooks_hub.welcome is not part of this package:"
    " set JupyterHub.template_paths as docs/hub/pages.py does"
)
