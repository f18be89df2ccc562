"""What was here has another form now."""

raise ImportError(
    "egi_notebooks_hub.welcome is not part of this package:"
    " set JupyterHub.template_paths as docs/hub/pages.py does"
)
