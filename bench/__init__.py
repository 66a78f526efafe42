"""Measurements: ratios in one run on one machine, medians of several rounds. `make bench` runs them; none is a test.

Each measurement is a module with `run(settings, quick) -> list[Figure]`.
"""
