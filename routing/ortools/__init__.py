"""The one place that knows OR-Tools: a routing model over some shifts and visits of a prepared problem."""
