"""Builds the parts of a poll and a push from the settings."""
