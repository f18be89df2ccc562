"""JupyterHub customisations for EGI Notebooks."""
