"""Programs that read topics and keep something of them. They import `tidemill` and publish no work of their own."""
