"""Planning of technicians' days: a pure kernel, without database, web, clock or network.

`Problem` in, `solve(problem, stop, seed)`, `Plan` out; `check.violations` is the independent referee.
"""
