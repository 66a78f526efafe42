"""`/jobs`: where a job is, its events as they happen, the files that came of it, and giving it up."""
