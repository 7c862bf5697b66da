"""Storage commitment: what is durable here, told to whoever asks."""
