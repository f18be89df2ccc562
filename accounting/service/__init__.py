"""Jobs, the loops and runs that start them, and how they ended."""
