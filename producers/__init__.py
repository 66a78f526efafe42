"""Programs that publish events on behalf of others. They import `tidemill` and meet other programs only in topics."""
