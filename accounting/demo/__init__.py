"""The whole way of the numbers, on this machine, in a few minutes: see `stage`."""
