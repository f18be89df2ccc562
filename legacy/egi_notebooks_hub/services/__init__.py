"""Programs that have another form now."""
