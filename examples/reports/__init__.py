"""Two reports to begin with, and the database of a shop that one of them is about."""
