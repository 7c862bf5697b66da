"""What a person may do to one series: reprocess, reject, forget; each keeps who, when and why."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine

from dicom_listener import state
from dicom_listener.commitment import commitment_table
from dicom_listener.routing import routes
from dicom_listener.routing.routes import RouteState
from dicom_listener.series import ReceivedSeries, study_hash
from dicom_listener.spool.shelf import instance_path
from dicom_listener.spool.spool import Spool
from dicom_listener.state import SeriesProgress, SeriesRow
from dicom_listener.state import SeriesState as ReceptionState
from inference.jobs import Job, JobQueue, JobState
from reporter import outbox
from segwatch.acts import Act, ActKind, keep_act
from segwatch.database import erase_traces
from segwatch.errors import UsageError
from segwatch.made_results import drop_results
from segwatch.result_folder import remove_results
from segwatch.superseding import supersede


@dataclass(frozen=True, slots=True)
class SeriesActs:
    """Carries out what a person decides about one series."""

    engine: Engine
    spool: Spool
    queue: JobQueue
    results_root: Path

    def reprocess(self, key_prefix: str, *, by: str, reason: str, now: float) -> str:
        """Segment a series again, or one that rules left out; instances that came while it was rejected make
        it a new version.

        Returns:
            What was done, in a sentence.

        Raises:
            UnknownSeriesError: no series or several have such a key, or its images are purged.
            UsageError: it is still being received, was forgotten, or is opted out.
        """
        with self.engine.begin() as connection:
            row = self._settled(connection, key_prefix)
            self._refuse_opted_out(connection, row)
            keep_act(connection, Act(row.series_key, ActKind.REPROCESS, by, reason, now))
            if row.n_late and row.purged_at is None:
                series = self._next_version(connection, row, now)
                supersede(connection, self.queue, series.key, series.version, now=now)
                self.queue.enqueue(connection, series.key, series.version, now=now)
                study = study_hash(series.study_instance_uid)
                routes.take_by_person(connection, series.key, series.version, study, by=by, now=now)
                return f"queued as version {series.version} with {len(series.instances)} instances, late ones included"
            state.load_series(connection, self.spool.root, row.series_key, row.version)  # tells when it is purged
            state.mark_accepted(connection, row.series_key, row.version)
            job = self._job(connection, row)
            if job is None:
                self.queue.enqueue(connection, row.series_key, row.version, now=now)
            else:
                self.queue.requeue(connection, job.id, now=now)
            route = routes.find(connection, row.series_key, row.version)
            if route is None or route.state is not RouteState.TAKEN:
                study = study_hash(row.study_instance_uid)
                routes.take_by_person(connection, row.series_key, row.version, study, by=by, now=now)
            return f"queued again as version {row.version}"

    def reject(self, key_prefix: str, *, by: str, reason: str, now: float) -> str:
        """Take a series out: what was not sent yet is not sent. What a PACS already has stays there.

        Raises:
            UnknownSeriesError: no series or several have such a key.
            UsageError: it was forgotten.
        """
        with self.engine.begin() as connection:
            row = self._known(connection, key_prefix)
            keep_act(connection, Act(row.series_key, ActKind.REJECT, by, reason, now))
            state.mark_rejected(connection, row.series_key, row.version, by=by, why=reason, now=now)
            self._withdraw(connection, row, "rejected_by_person", reason, now)
            routes.drop(connection, row.series_key, row.version)  # it is no rival of other series of its study any more
            withdrawn = outbox.withdraw_open(connection, row.series_key)
            sent = any(item.done_at is not None for item in outbox.find_by_series(connection, row.series_key))
        already = "; results that were sent before stay where they are" if sent else ""
        return f"rejected, {withdrawn} unsent results withdrawn{already}"

    def forget(self, key_prefix: str, *, by: str, reason: str, now: float) -> str:
        """Remove images, results and identifiers of a series from this host; that it was there, and the act, stay.

        Raises:
            UnknownSeriesError: no series or several have such a key.
        """
        with self.engine.begin() as connection:
            row = self._known(connection, key_prefix)
            versions = [r.version for r in state.list_series(connection) if r.series_key == row.series_key]
            keep_act(connection, Act(row.series_key, ActKind.FORGET, by, reason, now))
            self._forget_commitments(connection, row.series_key, versions, now)
            for version in versions:
                state.mark_forgotten(connection, row.series_key, version, by=by, why=reason, now=now)
            self._withdraw(connection, row, "forgotten", reason, now)
            outbox.remove(connection, row.series_key)
            routes.drop(connection, row.series_key)
            drop_results(connection, row.series_key)
        # rows first: from now on nothing is sent; were the process to die here, housekeeping removes the files
        self.spool.purge(row.series_key)
        remove_results(self.results_root, row.series_key)
        with self.engine.begin() as connection:
            state.mark_purged(connection, row.series_key, now=now)
        erase_traces(self.engine)
        return "images, results and identifiers are removed from this host"

    def _forget_commitments(self, connection: Connection, key: str, versions: list[int], now: float) -> None:
        members = frozenset[str]().union(*(state.member_uids(connection, key, version) for version in versions))
        commitment_table.give_up_naming(
            connection,
            lambda uid: uid in members or instance_path(self.spool.root, key, uid).exists(),
            now=now,
        )

    def _known(self, connection: Connection, key_prefix: str) -> SeriesRow:
        row = state.find_by_prefix(connection, key_prefix)
        if row.state is ReceptionState.FORGOTTEN:
            raise UsageError(f"series {row.series_key} was forgotten by {row.decided_by}")
        return row

    def _settled(self, connection: Connection, key_prefix: str) -> SeriesRow:
        row = self._known(connection, key_prefix)
        if row.completed_at is None:
            raise UsageError(f"series {row.series_key} is still being received; wait until it is complete")
        return row

    def _refuse_opted_out(self, connection: Connection, row: SeriesRow) -> None:
        route = routes.find(connection, row.series_key, row.version)
        if route is not None and route.state is RouteState.OPTED_OUT:
            raise UsageError(
                f"series {row.series_key} is not segmented because {route.reasons[0].detail}; remove the entry with "
                "`segwatch optout remove`, then send the series again"
            )

    def _job(self, connection: Connection, row: SeriesRow) -> Job | None:
        jobs = self.queue.find(connection, row.series_key)
        return next((job for job in jobs if job.series_version == row.version), None)

    def _withdraw(self, connection: Connection, row: SeriesRow, reason: str, detail: str, now: float) -> None:
        for job in self.queue.find(connection, row.series_key):
            if job.series_version != row.version and job.state is JobState.REJECTED:
                continue  # an earlier version keeps the reason for which it could not be segmented
            self.queue.withdraw(connection, job.id, reason=reason, detail=detail, now=now)

    def _next_version(self, connection: Connection, row: SeriesRow, now: float) -> ReceivedSeries:
        instances = tuple(stored.instance for stored in self.spool.load(row.series_key))
        series = ReceivedSeries(
            key=row.series_key,
            version=row.version + 1,
            study_instance_uid=row.study_instance_uid,
            series_instance_uid=row.series_instance_uid,
            instances=tuple(sorted(instances, key=lambda instance: instance.sop_instance_uid)),
            calling_ae_title=row.calling_ae_title,
            completed_at=now,
        )
        progress = SeriesProgress(
            series_key=series.key,
            version=series.version,
            study_instance_uid=series.study_instance_uid,
            series_instance_uid=series.series_instance_uid,
            calling_ae_title=series.calling_ae_title,
            n_instances=len(instances),
            n_conflicts=row.n_conflicts,
            bytes=sum(instance.size_bytes for instance in instances),
            first_at=row.first_at,
            last_at=row.last_at,
        )
        state.complete(connection, series, progress)
        return series
