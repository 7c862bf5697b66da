"""`InstanceHead`: what the head of a stored instance says, before anybody looks at its pixels."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class InstanceHead:
    """Elements of one instance; texts are empty, and numbers None, where an element is missing or malformed.

    Texts may hold patient data: never log a head. Its `repr` leaves identifiers and free texts out.
    """

    transfer_syntax_uid: str
    calling_ae_title: str
    """Sending Application Entity Title of the File Meta Information: who sent it."""
    called_ae_title: str
    """Receiving Application Entity Title of the File Meta Information: whom the sender called."""
    is_whole: bool
    """False when the data set names no SOP instance or could not be parsed as far as its pixels: what comes behind the
    damage is empty."""

    sop_class_uid: str
    sop_instance_uid: str = field(repr=False)
    study_instance_uid: str = field(repr=False)
    series_instance_uid: str = field(repr=False)
    frame_of_reference_uid: str = field(repr=False)
    patient_id: str = field(repr=False)
    issuer_of_patient_id: str = field(repr=False)

    modality: str
    image_type: tuple[str, ...]
    """Values of Image Type (0008,0008), in upper case."""
    manufacturer: str
    body_part: str
    """Body Part Examined."""
    study_description: str = field(repr=False)
    series_description: str = field(repr=False)
    protocol_name: str = field(repr=False)
    kernel: tuple[str, ...]
    """Values of Convolution Kernel (0018,1210)."""

    series_number: int | None
    acquisition_number: int | None
    instance_number: int | None
    temporal_position: int | None
    """Temporal Position Identifier (0020,0100)."""
    images_in_acquisition: int | None
    """Images in Acquisition (0020,1002)."""
    series_instances: int | None
    """Number of Series Related Instances (0020,1209): seldom in an instance, and what its writer believed."""
    number_of_frames: int | None
    samples_per_pixel: int | None
    rows: int | None
    columns: int | None
    position: tuple[float, ...] | None
    """Image Position (Patient): three finite numbers, LPS mm."""
    orientation: tuple[float, ...] | None
    """Image Orientation (Patient): six finite numbers, row direction cosines before column direction cosines."""
    pixel_spacing: tuple[float, ...] | None
    """Pixel Spacing: two finite numbers, mm, between rows before between columns."""
    slice_thickness: float | None
    """mm."""
    spacing_between_slices: float | None
    """mm as written; often absent, negative or wrong."""
    is_lossy: bool
    """Lossy Image Compression (0028,2110) is 01."""
    derivation: str = field(repr=False)
    """Derivation Description."""
