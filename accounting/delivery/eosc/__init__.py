"""EOSC's accounting: its API, how hours are told to it, and the ids that it gives."""
