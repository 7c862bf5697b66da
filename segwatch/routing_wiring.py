"""Makes what decides about series from the settings."""

import time
from collections.abc import Callable

from sqlalchemy import Connection, Engine

from dicom_listener.routing.router import RoutingPolicy, SeriesRouter, Take
from dicom_listener.routing.routes import Route
from dicom_listener.routing.routing_rules import RuleBook
from dicom_listener.spool.spool import Spool
from inference.jobs import JobQueue, JobState
from inference.sql_queue import SqlJobQueue
from segwatch.opt_out import OptOutCheck, opt_out_check, read_entries
from segwatch.settings import SiteSettings


def make_rule_book(settings: SiteSettings) -> RuleBook:
    """The rule sets, and which one holds for which called AE title."""
    by_called_ae_title = {one.ae_title: one.rules for one in settings.listener.ae_titles}
    return RuleBook(tuple(section.rules() for section in settings.routing.rules), by_called_ae_title)


def make_opt_out(settings: SiteSettings) -> OptOutCheck:
    """The check against the opt-out list. Raises `SettingsError` when there is a list that cannot be used."""
    return opt_out_check(settings.routing.opt_out_file, settings.secret)


def make_router(
    settings: SiteSettings, spool: Spool, engine: Engine, *, observe: Callable[[Route], None] = lambda _route: None
) -> SeriesRouter:
    """Make the router of the listener; what it takes is queued. Raises `SettingsError`."""
    routing = settings.routing
    policy = RoutingPolicy(
        book=make_rule_book(settings),
        study_quiet_seconds=routing.study_quiet_seconds,
        study_maximum_wait_seconds=routing.study_maximum_wait_seconds,
        opt_out=make_opt_out(settings),
    )
    queue = SqlJobQueue()

    def has_result(connection: Connection, key: str) -> bool:
        return any(job.state is JobState.DONE for job in queue.find(connection, key))

    return SeriesRouter(spool, engine, policy, queue_series(queue), has_result=has_result, observe=observe)


def examine_routing(settings: SiteSettings) -> str:
    """Say which rules hold, and check that the opt-out list can be used. Raises `SettingsError`."""
    path = settings.routing.opt_out_file
    names = ", ".join(dict.fromkeys(["default", *(rules.name for rules in settings.routing.rules)]))
    if path is None:
        return f"rules: {names}; no opt-out list"
    return f"rules: {names}; {len(read_entries(path, settings.secret()))} on the opt-out list"


def queue_series(queue: JobQueue, clock: Callable[[], float] = time.time) -> Take:
    """Make the hand-over from the listener: a series that is taken becomes a job, in the transaction that takes it."""

    def hand_over(connection: Connection, key: str, version: int) -> None:
        queue.enqueue(connection, key, version, now=clock())

    return hand_over
