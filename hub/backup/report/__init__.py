"""How a backup went: per claim, and as the last known status of all."""
