"""What receivers take, one module each: figures → bytes, their keys, and when they are due."""
