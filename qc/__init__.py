"""Numbers about a segmentation, and what they mean."""
