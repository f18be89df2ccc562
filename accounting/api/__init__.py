"""The REST API: typed answers over what ``accounting.lookup`` reads, and runs to follow."""
