"""The hub's pages in the EGI look: templates over JupyterHub's own, a style sheet and a logo.

An operator's own folder, before this one in `JupyterHub.template_paths`, replaces single files:
`welcome.html` is the text above the sign-in button, `egi.css` all colours.
"""

from pathlib import Path

TEMPLATES = str(Path(__file__).parent / "templates")
"""For `JupyterHub.template_paths`."""

LOGO = str(Path(__file__).parent / "logo.svg")
"""For `JupyterHub.logo_file`."""
