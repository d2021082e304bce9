"""Domain work on an open repository."""
