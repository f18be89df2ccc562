"""Keeps what users made: backup of their volumes with restic, and the way back."""
