"""Everything between the wire and a complete series on disk."""
