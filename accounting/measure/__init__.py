"""From the metrics source to what each pod used: queries, samples, usage, the poller."""
