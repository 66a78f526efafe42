"""The clock: the only part that knows time. It imports `tidemill` and meets other programs only in topics."""
