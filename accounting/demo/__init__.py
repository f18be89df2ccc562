"""The whole pipeline on one machine, in a few minutes: see `stage`."""
