"""`RoutingRules`: which series are worth segmenting, as the settings say it, and the defaults for a hospital."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from dicom_listener.routing.kernels import KernelClass

CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT_CLASSES = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
"""Enhanced CT, Legacy Converted Enhanced CT."""
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
"""Secondary Capture; the UIDs of its multi-frame classes begin with it and a dot."""

OTHER_BODY_PARTS = (
    # values of PS3.16 annex L as scanners write them, with common variants; parts that hold no lungs
    "ABDOMEN", "ABDOMENPELVIS", "ABDPELVIS", "PELVIS", "LIVER", "PANCREAS", "KIDNEY", "BLADDER", "COLON", "PROSTATE",
    "HEAD", "BRAIN", "SKULL", "FACE", "ORBIT", "SINUS", "JAW", "IAC", "NECK", "HEADNECK", "CSPINE", "LSPINE", "SSPINE",
    "SHOULDER", "ARM", "ELBOW", "FOREARM", "WRIST", "HAND", "EXTREMITY", "HIP", "LEG", "THIGH", "KNEE", "ANKLE", "FOOT",
    "SEG",
)  # fmt: skip
CHEST_DESCRIPTIONS = ("*chest*", "*thorax*", "*torax*", "*thorac*", "*lung*", "*pulm*", "*poumon*", "*hrct*")
"""Words by which a description says that a chest is in view."""
OTHER_DESCRIPTIONS = (
    # localizers that do not say so in Image Type, images for timing, projections, pictures of reports
    "*scout*", "*topogram*", "*surview*", "*scanogram*", "*locali[sz]er*", "*smart*prep*", "*monitoring*",
    "*test*bolus*", "*bolus*track*", "*mip*", "*minip*", "*volume*render*", "*dose*report*", "*screen*save*",
    "*patient*protocol*",
)  # fmt: skip


class Choose(StrEnum):
    """What is done with several eligible series of one study."""

    BEST = "best"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Patterns:
    """Globs that ignore case: something must fit one of `include` (empty: nothing need), and nothing of `exclude`."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """An interval in mm, its ends included."""

    minimum: float
    maximum: float


@dataclass(frozen=True, slots=True)
class RoutingRules:
    """One set of rules. An element that is missing fits no pattern: it fails an `include` and passes an `exclude`."""

    name: str = "default"
    modalities: tuple[str, ...] = ("CT",)
    """A missing Modality passes where the SOP class says CT."""
    sop_classes: tuple[str, ...] = (CT_IMAGE_STORAGE,)
    localizers: bool = False
    """Whether localizers are taken; likewise the next two."""
    derived: bool = False
    secondary: bool = False
    axial_tolerance_degrees: float = 10.0
    """Largest angle between the normal of the slices and the patient's long axis; 90 takes every orientation."""
    minimum_slices: int = 20
    """Distinct positions."""
    minimum_length_mm: float = 100.0
    slice_thickness: Span = Span(0.0, 10.0)
    """A missing Slice Thickness passes: the spacing is judged."""
    spacing: Span = Span(0.1, 10.0)
    kernels: Patterns = Patterns()
    kernel_classes: tuple[KernelClass, ...] = tuple(KernelClass)
    body_parts: Patterns = Patterns(exclude=OTHER_BODY_PARTS)
    chest_descriptions: tuple[str, ...] = CHEST_DESCRIPTIONS
    """A series with such a description is not left out for its Body Part Examined, which is often wrong."""
    descriptions: Patterns = Patterns(exclude=OTHER_DESCRIPTIONS)
    choose: Choose = Choose.BEST
    preferred_kernels: tuple[KernelClass, ...] = (KernelClass.LUNG, KernelClass.SOFT)
    """In order of preference; the others come after them, alike."""
    thin_mm: float = 3.0
    """Slices up to this are thin: among them the kernel counts more than the thickness."""


DEFAULT_RULES = RoutingRules()


@dataclass(frozen=True, slots=True)
class RuleBook:
    """All rule sets of a site, and which one holds for the AE title that a sender called."""

    rule_sets: tuple[RoutingRules, ...] = ()
    by_called_ae_title: Mapping[str, str] = field(default_factory=dict)
    """AE title -> name of a rule set; any other title, and none, stand for `default`."""

    def named(self, name: str) -> RoutingRules:
        """The rule set of a name; the default one where a name is not known (any more)."""
        known = {DEFAULT_RULES.name: DEFAULT_RULES, **{rules.name: rules for rules in self.rule_sets}}
        return known.get(name, known[DEFAULT_RULES.name])

    def for_called(self, ae_title: str) -> RoutingRules:
        """The rule set for series that came under this called AE title."""
        return self.named(self.by_called_ae_title.get(ae_title, DEFAULT_RULES.name))
