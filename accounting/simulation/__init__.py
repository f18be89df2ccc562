"""A simulated notebook cluster with its truth as data, and real engines to ask about it.

`world` plans pods, people, nodes, and what goes wrong, by seed. `exporters` say what a real cluster
would expose about them. `stores` keep that as samples in Prometheus and VictoriaMetrics, or serve
it live. `judges` tell what is true, what a perfect reader of the samples would report, and what the
receivers must hold in the end.
"""
