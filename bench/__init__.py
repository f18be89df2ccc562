"""Benchmarks of what the project promises about speed: ``make bench``, or ``python -m bench``.

Histories of a simulated cluster are backfilled into Prometheus data directories once and kept below
``var/bench`` (about 10 minutes and 20 GB of temporary disk for 20,000 pods). Then:

* **day**: the command ``poll`` over 24 h into a new database, in turn with curl that asks the same
  queries, as a recording proxy saw them, compressed: over one connection, and two at a time;
* **steady**: a poll every five minutes while all pods run, in the service and as a command;
* **client**: prometheus-api-client against this project's reader, one bulk query in a process;
* **signing** and **push**: messages of 500 real records.

Wall and processor time and peak memory of a command are the operating system's own, of the whole
process. Figures are medians; ratios are taken pair by pair, so that a machine that slows down in
between does not move them much. Modules are compiled beforehand, as in an installed program.
"""
