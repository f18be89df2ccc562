"""What was here has another form now."""

raise ImportError(
    "egi_notebooks_hub.onedata is not part of this package:"
    " log in with egi-checkin; docs/hub/additions.py gives notebooks Onedata"
)
