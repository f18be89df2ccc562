"""The status page, its JSON and metrics, and who may see them."""
