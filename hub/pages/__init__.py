"""The hub's pages in a look of their own: templates over JupyterHub's, colours, and logos.

An operator's own folder, before this one in `JupyterHub.template_paths`, replaces single files:
`welcome.html` is the text above the sign-in button, `look-egi.css` has all colours.
"""

from pathlib import Path

_HERE = Path(__file__).parent

TEMPLATES = str(_HERE / "templates")
"""For `JupyterHub.template_paths`."""

LOOKS = ("egi", "eosc")
"""What `egi_look` in `JupyterHub.template_vars` may be; the first is the default."""


def logo(look: str = LOOKS[0]) -> str:
    """The file of a look's logo, for `JupyterHub.logo_file`.

    Raises:
        ValueError: there is no such look; the hub does not start.
    """
    if look not in LOOKS:
        raise ValueError(f"there is no look {look!r}: set egi_look to one of {', '.join(LOOKS)}")
    return str(_HERE / f"logo-{look}.svg")
