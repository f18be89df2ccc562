"""Programs whose imports fail, with the new names."""
