"""Proves every hour that a notebook can still be started, and says so."""
