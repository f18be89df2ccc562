"""All PromQL, with the reason beside each query.

Every query is evaluated at the window's end over its whole length. ``last_over_time`` sees what a
series said last even when it has vanished since; an instant selector would go on seeing it for the
five-minute lookback. ``max by`` drops the labels nobody needs before they travel, and takes
duplicate emitters (restarted, sharded or doubled kube-state-metrics, pairs of Prometheus servers)
once (M4). Values, never ``rate`` or ``increase``: those extrapolate (M5).
"""
