"""What a pod's counters tell: series, their levels, bounds, falls and restarts (M3 to M5). Pure."""
