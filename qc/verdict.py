"""`Verdict`: what a detector says about one segmentation, and why."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one metric adds to the verdict."""

    metric: str
    value: float
    """As measured, in the metric's own unit."""
    standardised: float
    """After the feature's transform, in standard deviations from the mean of the fitted samples."""
    coefficient: float
    contribution: float
    """coefficient x standardised, in units of the logit; above 0 speaks for low quality."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A detector's judgement of one segmentation."""

    detector_name: str
    detector_version: str
    detector_sha256: str
    """Fingerprint of the detector's content, 64 hexadecimal digits."""
    probability: float
    """Of low quality (Dice below `LOW_QUALITY_DICE`), at the prevalence that the detector was calibrated to, 0..1."""
    threshold: float
    low_quality: bool
    """Whether the probability reaches the threshold."""
    contributions: tuple[Contribution, ...]
    """In the detector's order of features."""
    out_of_range: tuple[str, ...]
    """Metrics outside the range of the fitted samples: the probability is an extrapolation there."""


LOW_QUALITY_DICE = 0.6
"""A segmentation of low quality has a Dice below this (Gonzalez et al., BVM 2022)."""
