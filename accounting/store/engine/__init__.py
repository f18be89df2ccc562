"""The database itself: its engine, sessions, locks, clocks and files."""
