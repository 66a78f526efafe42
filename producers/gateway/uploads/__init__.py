"""`/uploads`: a file is received into the object store in bounded memory, and may become an event in the same call."""
