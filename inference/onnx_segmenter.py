"""`OnnxSegmenter`: a model package run by ONNX Runtime."""

import contextlib
import io
import logging
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from inference.engine import engine_errors, onnxruntime
from inference.errors import ModelPackageError, ProviderError
from inference.grids import Grid, model_grid
from inference.model_package import ModelPackage
from inference.model_signature import check_signature
from inference.segmentation import ModelIdentity, Segmentation
from inference.segmenter import Progress
from inference.sliding_window import predict_volume
from inference.transforms import labels_on_grid, resample, scale_window
from inference.volume import Volume

_LOGGER = logging.getLogger(__name__)

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
AIR_HU = -1024.0
"""What lies beyond a volume that is smaller than a patch."""
ConvolutionSearch = Literal["EXHAUSTIVE", "HEURISTIC", "DEFAULT"]

_ENGINE_ERRORS: tuple[type[Exception], ...] = (
    RuntimeError,
    ValueError,
    *(value for value in vars(engine_errors).values() if isinstance(value, type) and issubclass(value, Exception)),
)
_SEVERITY_FATAL = 4
_SEVERITY_WARNING = 2
_SEVERITY_ERROR = 3
_PROBABILITY_SLACK = 1e-3
"""Rounding by which a probability may leave 0..1."""


class OnnxSegmenter:
    """Runs one model; made once per process, used for one volume at a time or from several threads.

    Every patch has the manifest's shape, because a CUDA provider tunes itself anew for each shape that it sees.
    """

    def __init__(
        self,
        package: ModelPackage,
        *,
        providers: Sequence[str],
        threads: int | None = None,
        cudnn_conv_algo_search: ConvolutionSearch = "HEURISTIC",
    ) -> None:
        """Load the model.

        Args:
            package: from `load_model_package`; its hash is checked again here.
            providers: execution providers in order of preference. Where a GPU provider is asked for and does not
                start, that is an error unless `CPUExecutionProvider` is listed too.
            threads: of the CPU provider for one patch; None for one per core.
            cudnn_conv_algo_search: of the CUDA provider; EXHAUSTIVE is a little faster after a long first patch, and
                may choose, and round, otherwise on each start.

        Raises:
            ProviderError: no provider that was asked for started.
            ModelPackageError: the model cannot be loaded, or is not what its manifest says.
        """
        self._package = package
        self._session = _open_session(package, providers, threads, cudnn_conv_algo_search)
        self._providers = tuple(self._session.get_providers())
        _check_providers(providers, self._providers)
        check_signature(package, self._session.get_inputs(), self._session.get_outputs())

    @property
    def model(self) -> ModelIdentity:
        """The model behind it."""
        return self._package.identity

    @property
    def pixel_settings(self) -> str:
        """Canonical JSON of every setting that changes pixels."""
        return self._package.pixel_settings

    @property
    def providers(self) -> tuple[str, ...]:
        """Execution providers that the session really runs with."""
        return self._providers

    def warm_up(self) -> None:
        """Run one empty patch, so that the first series does not wait for the engine to tune itself.

        Raises:
            ProviderError: the engine failed.
            ModelPackageError: the model's output is not what its manifest says.
        """
        self._predict(np.zeros(self._package.tiling.patch, dtype=np.float32))

    def segment(self, volume: Volume, progress: Progress | None = None) -> Segmentation:
        """Label the volume: resample, window, predict patch by patch, and decide on the volume's own grid.

        Raises:
            ProviderError: the engine failed.
            ModelPackageError: the model's output is not what its manifest says.
        """
        package = self._package
        source = Grid((volume.voxels.shape[0], volume.voxels.shape[1], volume.voxels.shape[2]), volume.affine)
        grid = model_grid(source, package.orientation, package.spacing_mm)
        image = scale_window(resample(volume.voxels, volume.affine, grid), package.window_hu)
        air = scale_window(np.full((1, 1, 1), AIR_HU, dtype=np.float32), package.window_hu)
        probabilities = predict_volume(
            image,
            self._predict,
            package.tiling,
            channels=len(package.labels),
            outside=float(air[0, 0, 0]),
            progress=progress,
        )
        mask = labels_on_grid(
            probabilities,
            grid.affine,
            source,
            numbers=tuple(label.number for label in package.labels),
            threshold=package.threshold,
        )
        return Segmentation(
            mask=mask,
            labels=package.labels,
            probabilities=probabilities,
            probability_affine=grid.affine,
            model=package.identity,
            pixel_settings=package.pixel_settings,
            providers=self._providers,
        )

    def _predict(self, patch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of one patch, (label, z, y, x)."""
        package = self._package
        try:
            (output,) = self._session.run([package.output_name], {package.input_name: patch[None, None]})
        except _ENGINE_ERRORS as error:
            detail = f"{package.identity.name} failed on {self._providers[0]}: {_first_line(error)}"
            raise ProviderError(detail) from error
        if output.ndim != 5 or output.shape[0] != 1 or output.shape[2:] != patch.shape:
            raise ModelPackageError(f"output {package.output_name} has shape {output.shape} for patch {patch.shape}")
        if output.shape[1] <= max(package.channels):
            raise ModelPackageError(f"labels use channel {max(package.channels)}, the model has {output.shape[1]}")
        return _probabilities(package, output[0].astype(np.float32, copy=False))


def _probabilities(package: ModelPackage, output: NDArray[np.float32]) -> NDArray[np.float32]:
    """Apply the activation and pick the labels' channels.

    Raises:
        ModelPackageError: the result holds NaN or values outside 0..1.
    """
    channels = list(package.channels)
    if package.activation == "softmax":
        chosen = softmax(output, axis=0)[channels]
    elif package.activation == "sigmoid":
        chosen = expit(output[channels])
    else:
        chosen = output[channels]
    # written so that NaN fails too
    if not (chosen.min() >= -_PROBABILITY_SLACK and chosen.max() <= 1 + _PROBABILITY_SLACK):
        raise ModelPackageError(
            f"output {package.output_name} of {package.identity.name} is no probability (NaN, or outside 0..1) after "
            f"activation {package.activation!r}; check `activation` in the manifest"
        )
    return np.asarray(np.clip(chosen, 0, 1), dtype=np.float32)


def _open_session(
    package: ModelPackage, providers: Sequence[str], threads: int | None, search: ConvolutionSearch
) -> Any:  # noqa: ANN401 (onnxruntime ships no types)
    available = onnxruntime.get_available_providers()
    unknown = [name for name in providers if name not in available]
    if unknown or not providers:
        detail = f"unknown execution providers {unknown}" if unknown else "no execution provider is set"
        raise ProviderError(f"{detail}; this build of ONNX Runtime knows {', '.join(available)}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = _SEVERITY_ERROR
    # TF32 would round otherwise than the CPU provider does
    cuda = {"cudnn_conv_algo_search": search, "use_tf32": "0"}
    named = [(name, cuda if name == CUDA else {}) for name in providers]
    content = package.read_onnx()
    try:
        with _quiet_engine():
            if any(name != CPU for name in providers):
                onnxruntime.preload_dlls()  # finds CUDA in the wheels of the gpu extra
            # without enable_fallback=0 a failing provider is replaced by the CPU in silence, also while running
            return onnxruntime.InferenceSession(content, options, providers=named, enable_fallback=0)
    except _ENGINE_ERRORS as error:
        if providers[0] != CPU and CPU not in providers:
            raise ProviderError(f"{providers[0]} did not start: {_first_line(error)}") from error
        raise ModelPackageError(f"{package.onnx_path} cannot be loaded: {_first_line(error)}") from error


@contextlib.contextmanager
def _quiet_engine() -> Iterator[None]:
    """Keep the engine from printing its own stack traces where CUDA is not installed: we say it in a sentence."""
    printed = io.StringIO()
    onnxruntime.set_default_logger_severity(_SEVERITY_FATAL)
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        onnxruntime.set_default_logger_severity(_SEVERITY_WARNING)
        if printed.getvalue():
            _LOGGER.debug("ONNX Runtime: %s", printed.getvalue().strip())


def _check_providers(wanted: Sequence[str], running: Sequence[str]) -> None:
    """Compare with what the session runs, because the list of available providers names CUDA without a GPU too."""
    missing = [name for name in wanted if name not in running]
    if not missing:
        return
    # the engine adds the CPU provider to every session, whether it was asked for or not
    accelerated = [name for name in wanted if name in running and name != CPU]
    if not accelerated and CPU not in wanted:
        raise ProviderError(
            f"{', '.join(missing)} did not start (is there a GPU, and are its driver, CUDA and cuDNN installed? "
            f"pip install 'segwatch[gpu]'); add {CPU} to the providers to allow the CPU"
        )
    _LOGGER.warning("%s did not start; running on %s instead, as the settings allow", ", ".join(missing), running[0])


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:300]
