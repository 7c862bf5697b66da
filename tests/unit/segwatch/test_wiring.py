"""What the wiring refuses before anything runs."""

import pytest

from inference.errors import ModelPackageError
from inference.segmentation import ModelIdentity
from segwatch.wiring import check_model_name


@pytest.mark.parametrize(
    ("name", "version", "field"), [("Dr. Doe's Model", "1.0.0", "name"), ("lesion-net", "the good one", "version")]
)
def test_a_model_whose_name_cannot_stand_in_a_record_is_refused_by_field(name: str, version: str, field: str) -> None:
    with pytest.raises(ModelPackageError, match=f"manifest's {field} cannot stand"):
        check_model_name(ModelIdentity(name, version, "a" * 64))


def test_a_plain_name_is_taken() -> None:
    check_model_name(ModelIdentity("lesion-net", "1.2.0", "a" * 64))
