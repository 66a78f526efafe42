"""Plots as SVG within a page: ranked bars, columns over time, lines, sparklines.

They compute texts from numbers and draw nothing elsewhere; the same rows give the same bytes. Their type and colours
are the page's. No library: those that there are take longer to import than a report to make, and look like themselves.
"""
