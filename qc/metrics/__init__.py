"""Light-weight quality metrics of one segmentation, pure functions, one file per family."""
