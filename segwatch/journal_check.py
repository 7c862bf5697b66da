"""What `segwatch doctor` says of the intake journal: is it there and used, and is all of it well?"""

from dicom_listener.spool.claims import is_claimed
from dicom_listener.spool.journal.lanes import LANE_BYTES
from dicom_listener.spool.journal.spool_journal import JournalState, SpoolJournal
from segwatch.findings import Caution
from segwatch.settings import SiteSettings
from segwatch.state_wiring import make_spool


def check_journal(settings: SiteSettings) -> str | Caution:
    """How many lanes there are, whose instances all have their files, and why there are no more."""
    journal = make_spool(settings).journal
    state = journal.state()
    if state.damaged:
        return Caution(
            f"{state.damaged} lanes in {journal.folder} are damaged: acknowledged instances may be lost. The log says "
            "which; have their senders send again, then move the files away"
        )
    why_not = _why_not_used(settings)
    if why_not is not None:
        left = "" if state.lanes == 0 else f"; {_filed(settings, state)}, and the listener removes them"
        return f"not used: {why_not}{left}"
    return "; ".join(filter(None, (_filed(settings, state), _too_small(settings, journal, state))))


def _why_not_used(settings: SiteSettings) -> str | None:
    if settings.spool.journal_bytes == 0:
        return "spool.journal_bytes = 0"
    if not settings.listener.fast_intake:
        return "listener.fast_intake = false"
    return "listener.receivers = 0" if settings.listener.receivers == 0 else None


def _filed(settings: SiteSettings, state: JournalState) -> str:
    lanes = f"{state.lanes} lanes of {LANE_BYTES // 1024**2} MB"
    if state.lanes == 0:
        return f"{lanes}: the listener makes them"
    if state.unfiled == 0:
        return f"{lanes}, every instance in them has its file"
    runs = is_claimed(settings.site.data_dir / "spool")
    when = "in a moment" if runs else "when the listener starts"
    return f"{lanes}, {state.unfiled} of them with instances that get their files {when}"


def _too_small(settings: SiteSettings, journal: SpoolJournal, state: JournalState) -> str:
    wanted = settings.spool.journal_bytes // LANE_BYTES
    possible = state.lanes + journal.further_lanes(wanted - state.lanes)
    if possible >= wanted:
        return ""
    return (
        f"the disk has room for {possible} of the {wanted} that spool.journal_bytes asks for: what finds no room in "
        "them gets its file at once"
    )
