"""What the engine's boundary says about models and providers that do not do what was asked."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from inference.errors import ModelHashError, ModelPackageError, ProviderError
from inference.model_package import ModelPackage
from inference.onnx_segmenter import OnnxSegmenter
from inference.volume import Volume
from tests.unit.inference.packages import LESION, make_package
from tests.unit.inference.tiny_onnx import one_node_model

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
SHAPE = (1, 1, 16, 16, 16)


@pytest.fixture
def package(tmp_path: Path) -> ModelPackage:
    return make_package(tmp_path)


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that lists CUDA and runs on the CPU all the same, as onnxruntime-gpu does without a GPU."""
    real = onnxruntime.InferenceSession

    def start(content: bytes, options: Any, *, providers: Any, **others: Any) -> Any:
        assert providers[0][0] == CUDA
        return real(content, options, providers=[CPU], **others)

    monkeypatch.setattr(onnxruntime, "InferenceSession", start)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])


@pytest.mark.usefixtures("without_gpu")
def test_a_gpu_that_was_asked_for_and_is_not_there_is_an_error(package: ModelPackage) -> None:
    with pytest.raises(ProviderError, match=r"CUDAExecutionProvider did not start.*add CPUExecutionProvider"):
        OnnxSegmenter(package, providers=[CUDA])


@pytest.mark.usefixtures("without_gpu")
def test_the_cpu_stands_in_only_where_it_is_listed_and_says_so(
    package: ModelPackage, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        segmenter = OnnxSegmenter(package, providers=[CUDA, CPU])
    assert segmenter.providers == (CPU,)
    assert "CUDAExecutionProvider did not start; running on CPUExecutionProvider" in caplog.text


def test_the_real_engine_never_falls_back_in_silence(package: ModelPackage, capfd: pytest.CaptureFixture[str]) -> None:
    if CUDA not in onnxruntime.get_available_providers():
        pytest.skip("this build of ONNX Runtime has no CUDA provider")
    try:
        segmenter = OnnxSegmenter(package, providers=[CUDA])
    except ProviderError as error:
        assert "did not start" in str(error)
    else:
        assert segmenter.providers[0] == CUDA
    out, err = capfd.readouterr()
    assert out == ""
    assert "onnxruntime" not in err


def test_the_cpu_alone_is_no_reason_to_warn(package: ModelPackage, caplog: pytest.LogCaptureFixture) -> None:
    assert OnnxSegmenter(package, providers=[CPU]).providers == (CPU,)
    assert caplog.text == ""


@pytest.mark.parametrize(("providers", "words"), [(["GpuProvider"], "unknown.*GpuProvider"), ([], "no execution")])
def test_providers_that_do_not_exist_are_named(package: ModelPackage, providers: list[str], words: str) -> None:
    with pytest.raises(ProviderError, match=words):
        OnnxSegmenter(package, providers=providers)


@pytest.mark.parametrize(
    ("content", "changes", "words"),
    [
        (b"no model", {}, "cannot be loaded"),
        (b"", {}, "cannot be loaded"),
        (one_node_model("NoSuchOperator", shape=SHAPE), {}, "cannot be loaded"),
        (one_node_model(shape=SHAPE, names=("x", "probabilities")), {}, r"names input 'image', the model has \['x'\]"),
        (one_node_model(shape=SHAPE, names=("image", "y")), {}, r"names output 'probabilities', the model has \['y'\]"),
        (one_node_model(shape=(1, 1, 8, 16, 16)), {}, r"manifest's patch needs .*\[1, 1, 16, 16, 16\]"),
        (one_node_model(shape=(1, 3, 16, 16, 16)), {}, "manifest's patch needs"),
        (one_node_model(shape=(1, 16, 16)), {}, "manifest's patch needs"),
        (one_node_model(shape=SHAPE), {"labels": [{**LESION, "channel": 1}]}, "use channel 1, the model has 1"),
    ],
)
def test_a_model_that_is_not_what_its_manifest_says_is_refused(
    tmp_path: Path, content: bytes, changes: dict[str, Any], words: str
) -> None:
    package = make_package(tmp_path, content, **changes)
    with pytest.raises(ModelPackageError, match=words):
        OnnxSegmenter(package, providers=[CPU])


def test_free_sizes_are_judged_by_the_first_patch(tmp_path: Path) -> None:
    content = one_node_model(shape=("n", "c", "z", "y", "x"))
    OnnxSegmenter(make_package(tmp_path / "fits", content), providers=[CPU]).warm_up()
    package = make_package(tmp_path / "not", content, labels=[{**LESION, "channel": 3}])
    with pytest.raises(ModelPackageError, match="use channel 3, the model has 1"):
        OnnxSegmenter(package, providers=[CPU]).warm_up()


def test_an_altered_model_is_not_loaded(package: ModelPackage) -> None:
    package.onnx_path.write_bytes(one_node_model("Neg", shape=SHAPE))
    with pytest.raises(ModelHashError):
        OnnxSegmenter(package, providers=[CPU])


@pytest.mark.parametrize("op_type", ["Neg", "Log"])
def test_values_that_are_no_probabilities_are_refused(tmp_path: Path, op_type: str) -> None:
    segmenter = OnnxSegmenter(make_package(tmp_path, one_node_model(op_type, shape=SHAPE)), providers=[CPU])
    voxels = np.full((8, 8, 8), -500, dtype=np.float32)
    with pytest.raises(ModelPackageError, match="check `activation`"):
        segmenter.segment(Volume(voxels, np.eye(4)))


@pytest.mark.parametrize(("activation", "expected"), [("sigmoid", 1 / (1 + np.exp(-0.75))), ("softmax", 0.5)])
def test_activations_are_applied_to_the_labels_channels(tmp_path: Path, activation: str, expected: float) -> None:
    content = one_node_model("Concat", shape=SHAPE, output_shape=(1, 2, 16, 16, 16), repeat_input=2, axis=1)
    package = make_package(tmp_path, content, activation=activation, labels=[{**LESION, "channel": 1}])
    volume = Volume(np.full((9, 9, 9), -250, dtype=np.float32), np.eye(4))
    probabilities = OnnxSegmenter(package, providers=[CPU]).segment(volume).probabilities
    assert probabilities.shape[0] == 1
    np.testing.assert_allclose(probabilities, expected, atol=1e-3)


def test_an_engine_that_fails_while_running_is_named(package: ModelPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    segmenter = OnnxSegmenter(package, providers=[CPU])

    class Broken:
        def run(self, *_: object) -> None:
            raise RuntimeError("CUDA failure 2: out of memory\nstack trace")

    monkeypatch.setattr(segmenter, "_session", Broken())
    with pytest.raises(ProviderError, match=r"tiny failed on CPUExecutionProvider: CUDA failure 2: out of memory$"):
        segmenter.warm_up()
