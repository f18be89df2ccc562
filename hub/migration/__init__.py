"""Reads the values and configuration of an existing EGI Notebooks, and writes new ones."""
