"""The tables of a site's settings that say which series are segmented."""

from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, field_validator, model_validator

from dicom_listener.routing.kernels import KernelClass
from dicom_listener.routing.routing_rules import DEFAULT_RULES, Choose, Patterns, RoutingRules, Span
from segwatch.settings_sections import RULES_NAME, Section

_D = DEFAULT_RULES


class RulesSection(Section):
    """A set of rules. The one named default holds for every AE title that names no other."""

    example: ClassVar[dict[str, Any]] = {"name": "default"}

    name: str = Field(pattern=RULES_NAME, description="Name of the set: a-z, 0-9 and '-'.")
    choose: Choose = Field(
        _D.choose,
        description="Of several eligible series of a study, 'best' takes one, 'all' takes each as soon as it is there.",
    )
    modalities: tuple[str, ...] = Field(_D.modalities, description="Modality; missing passes where the SOP class fits.")
    sop_classes: tuple[str, ...] = Field(_D.sop_classes, description="SOP Class UID.")
    localizers: bool = Field(_D.localizers, description="Take localizers (Image Type LOCALIZER).")
    derived: bool = Field(_D.derived, description="Take derived images (Image Type DERIVED), e.g. MPR, dual energy.")
    secondary: bool = Field(_D.secondary, description="Take images made after the examination (Image Type SECONDARY).")
    axial_tolerance_degrees: float = Field(
        _D.axial_tolerance_degrees, ge=0, le=90, description="Largest angle to the axial plane; 90: any orientation."
    )
    minimum_slices: int = Field(_D.minimum_slices, ge=1, description="Fewest slice positions.")
    minimum_length_mm: float = Field(_D.minimum_length_mm, ge=0, description="Shortest stack, mm.")
    minimum_slice_thickness_mm: float = Field(
        _D.slice_thickness.minimum, ge=0, description="Thinnest Slice Thickness, mm; missing passes."
    )
    maximum_slice_thickness_mm: float = Field(
        _D.slice_thickness.maximum, gt=0, description="Thickest Slice Thickness, mm."
    )
    minimum_spacing_mm: float = Field(_D.spacing.minimum, ge=0, description="Smallest distance of slices, mm.")
    maximum_spacing_mm: float = Field(_D.spacing.maximum, gt=0, description="Largest distance of slices, mm.")
    kernel_classes: tuple[KernelClass, ...] = Field(
        _D.kernel_classes, description="Kinds of Convolution Kernel: soft, lung, bone, other (unknown), missing."
    )
    include_kernels: tuple[str, ...] = Field(
        _D.kernels.include, description="Globs, one of which a value of Convolution Kernel must fit; empty: any."
    )
    exclude_kernels: tuple[str, ...] = Field(
        _D.kernels.exclude, description="Globs that no value of Convolution Kernel may fit."
    )
    include_body_parts: tuple[str, ...] = Field(
        _D.body_parts.include, description="Globs, one of which Body Part Examined must fit; empty: any, also none."
    )
    exclude_body_parts: tuple[str, ...] = Field(
        _D.body_parts.exclude, description="Globs that Body Part Examined must not fit."
    )
    chest_descriptions: tuple[str, ...] = Field(
        _D.chest_descriptions,
        description="Globs over Series and Study Description and Protocol Name: one that fits, and Body Part Examined, "
        "which is often wrong, is not looked at.",
    )
    include_descriptions: tuple[str, ...] = Field(
        _D.descriptions.include,
        description="Globs, one of which Series or Study Description or Protocol Name must fit; empty: any.",
    )
    exclude_descriptions: tuple[str, ...] = Field(
        _D.descriptions.exclude, description="Globs that Series Description must not fit."
    )
    preferred_kernels: tuple[KernelClass, ...] = Field(
        _D.preferred_kernels, description="Order in which kinds of kernels are preferred by 'best'; others come last."
    )
    thin_mm: float = Field(
        _D.thin_mm, gt=0, description="Among slices up to this, 'best' looks at the kernel before the thickness, mm."
    )

    @model_validator(mode="after")
    def _ranges(self) -> "RulesSection":
        for what in ("slice_thickness", "spacing"):
            if getattr(self, f"minimum_{what}_mm") > getattr(self, f"maximum_{what}_mm"):
                raise ValueError(f"minimum_{what}_mm is larger than maximum_{what}_mm: no series would fit")
        return self

    def rules(self) -> RoutingRules:
        """The set as the listener knows it."""
        return RoutingRules(
            name=self.name,
            modalities=tuple(modality.upper() for modality in self.modalities),
            sop_classes=self.sop_classes,
            localizers=self.localizers,
            derived=self.derived,
            secondary=self.secondary,
            axial_tolerance_degrees=self.axial_tolerance_degrees,
            minimum_slices=self.minimum_slices,
            minimum_length_mm=self.minimum_length_mm,
            slice_thickness=Span(self.minimum_slice_thickness_mm, self.maximum_slice_thickness_mm),
            spacing=Span(self.minimum_spacing_mm, self.maximum_spacing_mm),
            kernels=Patterns(self.include_kernels, self.exclude_kernels),
            kernel_classes=self.kernel_classes,
            body_parts=Patterns(self.include_body_parts, self.exclude_body_parts),
            chest_descriptions=self.chest_descriptions,
            descriptions=Patterns(self.include_descriptions, self.exclude_descriptions),
            choose=self.choose,
            preferred_kernels=self.preferred_kernels,
            thin_mm=self.thin_mm,
        )


class RoutingSection(Section):
    """Which series are segmented; docs/reference/routing.md has the reasons."""

    study_quiet_seconds: float = Field(
        60.0,
        gt=0,
        description="The best series of a study is chosen when nothing of the study came for this long, in seconds.",
    )
    study_maximum_wait_seconds: float = Field(
        3600.0, gt=0, description="It is chosen at the latest this long after the first eligible series, in seconds."
    )
    opt_out_file: Path | None = Field(
        None, description="List of patients and studies that are never segmented, kept by `segwatch optout`."
    )
    rules: tuple[RulesSection, ...] = ()

    @field_validator("rules")
    @classmethod
    def _distinct_names(cls, value: tuple[RulesSection, ...]) -> tuple[RulesSection, ...]:
        names = [rules.name for rules in value]
        if len(set(names)) != len(names):
            raise ValueError("two sets of rules have the same name")
        return value
