"""The compiled search over the exact simulator; the only place that imports numba."""
