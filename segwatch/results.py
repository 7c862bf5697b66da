"""How the results of a series are written, and how they enter the outbox."""

from sqlalchemy import Connection

from inference.jobs import JobQueue, JobState
from qc.record import record_message
from reporter import outbox
from reporter.preview import write_preview
from reporter.seg_file import read_series_uid, write_seg
from segwatch.made_results import keep_result, newest_result_before
from segwatch.pipeline import ProcessedSeries
from segwatch.result_folder import ResultFolder
from segwatch.settings_sections import STREAM_DESTINATION


def write_results(folder: ResultFolder, result: ProcessedSeries) -> None:
    """Write the SEG durably, and the preview."""
    folder.path.mkdir(parents=True, exist_ok=True)
    write_seg(result.seg, folder.seg)
    write_preview(result.volume, result.segmentation, folder.preview, lungs=result.lungs)


def queue_results(
    connection: Connection, folder: ResultFolder, result: ProcessedSeries, destinations: tuple[str, ...], *, now: float
) -> None:
    """Queue the SEG for every destination and the record for the message log, in the caller's transaction."""
    run = outbox.Run(folder.series_key, folder.series_version, folder.generation)
    keep_result(connection, run.series_key, run.series_version, run.generation, str(result.seg.SeriesInstanceUID))
    for destination in destinations:
        outbox.add_instance(connection, run, destination, folder.seg, now=now)
    outbox.add_message(
        connection, run, STREAM_DESTINATION, result.record.event_id, record_message(result.record), now=now
    )


def predecessor_series_uid(connection: Connection, queue: JobQueue, folder: ResultFolder) -> str | None:
    """Series Instance UID of the newest SEG of an earlier version, which this one replaces; None without one."""
    made = newest_result_before(connection, folder.series_key, folder.series_version)
    if made is not None:
        return made
    # releases before this was kept left the file alone; a run whose result was dropped has a file too, but no such job
    done = [job.series_version for job in queue.find(connection, folder.series_key) if job.state is JobState.DONE]
    version = max((version for version in done if version < folder.series_version), default=0)
    newest = ResultFolder.newest(folder.root, folder.series_key, version)
    return None if newest is None else read_series_uid(newest.seg)
