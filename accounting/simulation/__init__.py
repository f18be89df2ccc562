"""A simulated notebook cluster with its truth as data, and real engines to ask about it.

`cluster` plans pods by seed, `state_metrics` and `cadvisor` say what a real cluster would expose
about them, `history` writes that as samples for Prometheus and VictoriaMetrics, `live` serves it
over HTTP, `expectation` tells what a perfect reader of those samples would report, and `repository`
is a stand-in for the table that the records end up in.
"""
