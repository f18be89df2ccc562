"""One module per page: what it asks, and what its template gets."""
