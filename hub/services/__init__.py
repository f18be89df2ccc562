"""Services that JupyterHub runs beside itself."""
