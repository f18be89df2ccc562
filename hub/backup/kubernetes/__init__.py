"""Claims, and the pods that work on their volumes."""
