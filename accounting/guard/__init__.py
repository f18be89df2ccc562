"""What stands before the service: who gets in, what may come in, and how refusals are worded."""
