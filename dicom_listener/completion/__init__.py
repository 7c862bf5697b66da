"""When a series is complete, and the thread that finds out."""
