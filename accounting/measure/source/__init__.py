"""The metrics' store: how it is reached, asked, and what it can be asked."""
