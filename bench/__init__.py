"""Longer runs beside the tests: acceptance, simulation and benchmarks. Each prints a table or one line of figures."""
