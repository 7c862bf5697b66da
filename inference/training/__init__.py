"""Offline training of the reference model; the only home of torch and MONAI."""
