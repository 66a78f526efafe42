"""From a run's JSON to docs/performance.md and its pictures: `python -m bench.report RESULT.json`.

Everything but `__main__` computes: results in, Markdown or SVG out. Numbers in the page come from here alone.
"""
