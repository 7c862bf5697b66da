"""Stand-ins for the source images: clean headers with just what highdicom needs, whatever the real ones are like.

highdicom raises on a source without Patient ID or birth date and on slices that differ in Frame of Reference, copies a
negative Spacing Between Slices and writes an unusual patient name into its log. It therefore never sees the real
headers; `seg_patient` carries patient and study over afterwards.
"""

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage
from pydicom.valuerep import DSfloat

from reporter.raw_elements import raw_numbers, raw_text
from reporter.seg_source import SourceSeries

_EMPTY = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
          "StudyTime")  # fmt: skip


def skeletons(source: SourceSeries, frame_of_reference_uid: str, slice_spacing: float) -> list[Dataset]:
    """One stand-in per slice, in slice order.

    Args:
        source: the series.
        frame_of_reference_uid: the one that the result carries.
        slice_spacing: distance between slice centres, mm, positive.
    """
    common = Dataset()
    for keyword in _EMPTY:
        setattr(common, keyword, None)
    common.SOPClassUID = CTImageStorage
    common.Modality = "CT"
    common.StudyInstanceUID = source.study_instance_uid
    common.SeriesInstanceUID = source.series_instance_uid
    common.FrameOfReferenceUID = frame_of_reference_uid
    common.Rows, common.Columns = source.rows, source.columns
    common.PixelSpacing = [_decimal(value) for value in source.pixel_spacing]
    common.SliceThickness = _decimal(source.slice_thickness or slice_spacing)
    common.SpacingBetweenSlices = _decimal(slice_spacing)
    common.ImageOrientationPatient = [_decimal(value) for value in source.slices[0].orientation]
    _add_lossy_compression(source.header, common)
    result = []
    for source_slice in source.slices:
        item = Dataset()
        item.update(common)
        item.SOPInstanceUID = source_slice.sop_instance_uid
        item.ImagePositionPatient = [_decimal(value) for value in source_slice.position]
        result.append(item)
    return result


def _add_lossy_compression(header: Dataset, skeleton: Dataset) -> None:
    """Once lossy, always lossy: what is derived from a lossy image says so too (PS3.3 C.7.6.1.1.5)."""
    if raw_text(header, "LossyImageCompression") != "01":
        return
    skeleton.LossyImageCompression = "01"
    ratios = raw_numbers(header, "LossyImageCompressionRatio")
    if ratios:
        skeleton.LossyImageCompressionRatio = [_decimal(ratio) for ratio in ratios]
    method = raw_text(header, "LossyImageCompressionMethod")
    if method:
        skeleton.LossyImageCompressionMethod = method.split("\\")


def _decimal(value: float) -> DSfloat:
    return DSfloat(value, auto_format=True)
