"""How records are written and read: APEL, StAR, tables, and what others have written."""
