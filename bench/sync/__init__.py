"""`make bench-sync`: every row of the design's table of speeds, us beside Kinto and beside the database alone."""
