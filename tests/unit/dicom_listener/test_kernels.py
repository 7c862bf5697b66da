import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_listener.routing.kernels import KernelClass, classify_kernel

KNOWN = (
    # the kernels of the real files in SEGWATCH_TEST_DATA, and those that vendors' chest protocols name
    ("GE MEDICAL SYSTEMS", "STANDARD", "soft"),
    ("GE MEDICAL SYSTEMS", "SOFT", "soft"),
    ("GE MEDICAL SYSTEMS", "CHST", "soft"),
    ("GE MEDICAL SYSTEMS", "DETAIL", "soft"),
    ("GE MEDICAL SYSTEMS", "LUNG", "lung"),
    ("GE MEDICAL SYSTEMS", "BONE", "bone"),
    ("GE MEDICAL SYSTEMS", "BONEPLUS", "bone"),
    ("GE MEDICAL SYSTEMS", "EDGE", "bone"),
    ("SIEMENS", "B20s", "soft"),
    ("SIEMENS", "B30f", "soft"),
    ("SIEMENS", "B31f", "soft"),
    ("SIEMENS", "I44f", "soft"),
    ("SIEMENS", "B60f", "lung"),
    ("SIEMENS", "B70f", "lung"),
    ("Siemens Healthineers", "Br40d\\3", "soft"),
    ("Siemens Healthineers", "Br38f\\3", "soft"),
    ("Siemens Healthineers", "Bl57d\\3", "lung"),
    ("Siemens Healthineers", "Br64", "lung"),
    ("Siemens Healthineers", "Br76u\\4", "bone"),
    ("SIEMENS", "H31s", "soft"),
    ("SIEMENS", "H70h", "bone"),
    ("SIEMENS", "Ur77", "bone"),
    ("SIEMENS", "59 .21.B50s", "lung"),
    ("Philips", "B", "soft"),
    ("Philips", "YB", "lung"),
    ("Philips", "L", "lung"),
    ("Philips", "D", "bone"),
    ("TOSHIBA", "FC07", "soft"),
    ("TOSHIBA", "FC17", "soft"),
    ("TOSHIBA", "FC41", "soft"),
    ("Canon Medical Systems", "FC51", "lung"),
    ("TOSHIBA", "FC86", "lung"),
    ("TOSHIBA", "FC30", "bone"),
    ("TOSHIBA", "FC81", "bone"),
    ("Somebody", "Lung enhanced", "lung"),
    ("", "B70f", "lung"),
    ("", "FC51", "lung"),
    ("SIEMENS", "never seen", "other"),
    ("SIEMENS", "", "missing"),
)


@pytest.mark.parametrize(("maker", "kernel", "wanted"), KNOWN)
def test_a_kernel_has_a_class(maker: str, kernel: str, wanted: str) -> None:
    assert classify_kernel(kernel.split("\\"), maker) == KernelClass(wanted)


def test_a_name_means_what_its_vendor_means() -> None:
    assert classify_kernel(["D"], "Philips") is KernelClass.BONE
    assert classify_kernel(["B"], "GE MEDICAL SYSTEMS") is KernelClass.OTHER


@given(st.lists(st.text(max_size=20), max_size=4), st.text(max_size=20))
def test_every_text_has_a_class(kernel: list[str], maker: str) -> None:
    assert classify_kernel(kernel, maker) in KernelClass
