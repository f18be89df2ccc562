"""What pages show, as values: figures, tables, charts, the verdict."""
