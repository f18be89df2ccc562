# noqa: INP001 - a part of jupyterhub_config.py
"""The hub's pages in a look of their own. Leave out what you do not need."""

from hub import pages

c = get_config()  # noqa: F821 - JupyterHub provides it

LOOK = "egi"  # or "eosc", for the EOSC EU Node

# A folder of your own before the other replaces single files, as welcome.html or look-egi.css.
c.JupyterHub.template_paths = [pages.TEMPLATES]
c.JupyterHub.logo_file = pages.logo(LOOK)  # or a file of yours: SVG or PNG, about 40 px high
c.JupyterHub.template_vars = {
    "egi_look": LOOK,
    "egi_service_name": "EGI Notebooks",
    "egi_support": "https://support.example.org/",
    "egi_links": [
        {"text": "Documentation", "href": "https://docs.example.org/"},
        {"text": "Terms of use", "href": "https://www.example.org/terms"},
        {"text": "Privacy notice", "href": "https://www.example.org/privacy"},
    ],
}
