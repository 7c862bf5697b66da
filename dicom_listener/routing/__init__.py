"""Which complete series are worth segmenting."""
