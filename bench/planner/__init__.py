"""`make bench-planner`: every figure the planner is to reach, beside PyVRP, VROOM and OR-Tools alone."""
