"""The intake journal: files written in advance, into which a burst of instances goes before each gets a file."""
