"""What the program tells of itself: structured logs, and its own metrics."""
