"""Makes what segments a series from the settings of a site."""

from importlib.metadata import version as distribution_version

from pydantic import ValidationError
from sqlalchemy import Engine

from inference.errors import ModelPackageError
from inference.model_package import load_model_package, reference_manifest
from inference.onnx_segmenter import OnnxSegmenter
from inference.read_series import ReadLimits
from inference.segmentation import ModelIdentity
from inference.segmenter import Segmenter
from inference.sql_queue import SqlJobQueue
from qc.periods import PeriodLength
from qc.record import ModelReference
from segwatch.pipeline import Pipeline, SiteIdentity
from segwatch.result_folder import results_root
from segwatch.routing_wiring import make_opt_out
from segwatch.settings import SiteSettings
from segwatch.worker import Worker, WorkerPlaces, WorkerPolicy


def make_segmenter(settings: SiteSettings) -> OnnxSegmenter:
    """Load the model and start the engine. Raises `ModelPackageError`, `ProviderError`."""
    package = load_model_package(settings.model.manifest or reference_manifest())
    return OnnxSegmenter(package, providers=settings.model.providers, threads=settings.model.threads or None)


def site_identity(settings: SiteSettings) -> SiteIdentity:
    """Name the site in its results. Raises `SettingsError` without a secret."""
    return SiteIdentity(
        site_id=settings.site.id,
        secret=settings.secret(),
        period=PeriodLength(settings.site.period),
        software_version=distribution_version("segwatch"),
    )


def check_model_name(model: ModelIdentity) -> None:
    """Check that a model's name and version can stand in a quality record. Raises `ModelPackageError`."""
    try:
        ModelReference(name=model.name, version=model.version, sha256=model.sha256)
    except ValidationError as error:
        fields = ", ".join(str(details["loc"][0]) for details in error.errors())
        raise ModelPackageError(
            f"the manifest's {fields} cannot stand in a quality record: use a lower-case name such as lesion-net and a "
            "version such as 1.2.0"
        ) from None


def make_pipeline(
    settings: SiteSettings, segmenter: Segmenter, identity: SiteIdentity, *, seg_note: str = ""
) -> Pipeline:
    """Put the stages together. Raises `ModelPackageError` when the model's name cannot stand in a record."""
    check_model_name(segmenter.model)
    limits = ReadLimits(minimum_slices=settings.read.minimum_slices, maximum_voxels=settings.read.maximum_voxels)
    return Pipeline(segmenter, limits, identity, seg_note)


def make_places(settings: SiteSettings, engine: Engine) -> WorkerPlaces:
    """Where a worker finds its work and leaves its results."""
    return WorkerPlaces(
        engine=engine,
        queue=SqlJobQueue(),
        spool_root=settings.site.data_dir / "spool",
        results_root=results_root(settings),
        destinations=tuple(destination.name for destination in settings.destinations),
    )


def make_policy(settings: SiteSettings) -> WorkerPolicy:
    """When a worker gives up."""
    worker = settings.worker
    return WorkerPolicy(worker.lease_seconds, worker.maximum_attempts, worker.retry_seconds, worker.poll_seconds)


def make_worker(settings: SiteSettings, engine: Engine, segmenter: Segmenter, name: str) -> Worker:
    """Make a worker around a segmenter that is ready. Raises `SettingsError`."""
    pipeline = make_pipeline(settings, segmenter, site_identity(settings))
    opt_out = make_opt_out(settings)
    return Worker(name, make_places(settings, engine), pipeline, make_policy(settings), opt_out=opt_out)
