"""Manifests: what is accepted, what is refused, and in which words."""

import json
from pathlib import Path
from typing import Any

import pytest

from inference.errors import ModelHashError, ModelPackageError
from inference.model_package import load_model_package, reference_manifest
from tests.unit.inference.packages import LESION, make_package, write_package


def test_a_package_is_read_with_everything_that_the_manifest_says(tmp_path: Path) -> None:
    package = make_package(tmp_path)
    assert package.identity.name == "tiny"
    assert package.tiling.patch == (16, 16, 16)
    assert package.labels[0].type.meaning == "Lesion"
    assert package.channels == (0,)
    assert package.onnx_path == tmp_path / "tiny.onnx"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"spacing": [1, 1, 1]}, "spacing: Extra inputs"),
        ({"threshold": ...}, "threshold: Field required"),
        ({"threshold": 0}, "threshold: Input should be greater than 0"),
        ({"orientation": "XYZ"}, "orientation: .*LPS or RAS"),
        ({"orientation": "LPP"}, "orientation: .*LPS or RAS"),
        ({"window_hu": [0, -1000]}, "window_hu must be"),
        ({"overlap": 1.0}, "overlap: Input should be less than 1"),
        ({"patch": [0, 16, 16]}, "patch.0: "),
        ({"sha256": "abc"}, "sha256: "),
        ({"schema": 2}, "schema: Input should be 1"),
        ({"activation": "relu"}, "activation: Input should be 'none', 'sigmoid' or 'softmax'"),
        ({"labels": []}, "labels: "),
        ({"labels": [{**LESION, "number": 2}]}, "numbered 1, 2"),
        ({"labels": [LESION, {**LESION, "number": 2}]}, "output channel of its own"),
        ({"labels": [{**LESION, "rgb": [256, 0, 0]}]}, "labels.0.rgb.0: "),
        ({"onnx": "../elsewhere.onnx"}, "outside the folder"),
        ({"onnx": "/etc/hostname"}, "outside the folder"),
        ({"onnx": "missing.onnx"}, "cannot be read"),
    ],
)
def test_a_manifest_that_is_wrong_is_refused_by_the_name_of_its_key(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ModelPackageError, match=words):
        make_package(tmp_path, **changes)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    manifest = write_package(tmp_path / "package")
    (tmp_path / "package" / "tiny.onnx").rename(tmp_path / "outside.onnx")
    (tmp_path / "package" / "tiny.onnx").symlink_to(tmp_path / "outside.onnx")
    with pytest.raises(ModelPackageError, match="outside the folder"):
        load_model_package(manifest)


def test_an_altered_model_is_refused(tmp_path: Path) -> None:
    manifest = write_package(tmp_path)
    with (tmp_path / "tiny.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ModelHashError, match="restore the file"):
        load_model_package(manifest)


def test_a_model_altered_after_loading_is_refused_when_it_is_read(tmp_path: Path) -> None:
    package = make_package(tmp_path)
    (tmp_path / "tiny.onnx").write_bytes(b"other")
    with pytest.raises(ModelHashError):
        package.read_onnx()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe"])
def test_a_file_that_is_no_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.json"
    path.write_bytes(content)
    with pytest.raises(ModelPackageError, match="is not valid"):
        load_model_package(path)


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelPackageError, match=r"nowhere\.json cannot be read"):
        load_model_package(tmp_path / "nowhere.json")


def test_pixel_settings_are_canonical_and_change_with_what_changes_pixels(tmp_path: Path) -> None:
    one = make_package(tmp_path / "one")
    renamed = make_package(tmp_path / "two", name="other", intended_use="other")
    other = make_package(tmp_path / "three", threshold=0.4)
    assert one.pixel_settings == renamed.pixel_settings != other.pixel_settings
    values = json.loads(one.pixel_settings)
    assert one.pixel_settings == json.dumps(values, sort_keys=True, separators=(",", ":"))


def test_the_reference_manifest_lies_in_the_package() -> None:
    path = reference_manifest()
    assert path.parts[-3:] == ("inference", "models", "lesion.json")
