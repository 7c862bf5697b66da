"""Makes the rule by which series are complete, and who asks their senders, from a site's settings."""

from collections.abc import Sequence

from dicom_listener.completion.completion_rule import CompletionRule
from dicom_listener.completion.count_asker import CountAsker
from dicom_listener.peers import Peer
from segwatch.errors import UsageError
from segwatch.settings import SiteSettings


def make_completion_rule(settings: SiteSettings) -> CompletionRule:
    """When a series is complete."""
    listener, early = settings.listener, settings.listener.completion
    return CompletionRule(
        quiet_seconds=listener.quiet_seconds,
        maximum_wait_seconds=listener.maximum_wait_seconds,
        settle_seconds=early.settle_seconds,
        count_from_headers=early.count_from_headers,
        closed_minimum_slices=early.closed_minimum_slices if early.release_ends_closed_series else None,
    )


def make_count_asker(settings: SiteSettings, peers: Sequence[Peer]) -> CountAsker | None:
    """Who asks senders for counts; None where it is switched off."""
    early = settings.listener.completion
    if not early.ask_sender:
        return None
    return CountAsker(peers, calling_ae_title=settings.listener.ae_title, seconds=early.ask_timeout_seconds)


def check_completion(settings: SiteSettings) -> str:
    """For `segwatch doctor`: what ends the wait for a series, and whether anybody can be asked.

    Raises:
        UsageError: senders are to be asked, and of none it is known where.
    """
    listener, early = settings.listener, settings.listener.completion
    said = [f"quiet for {listener.quiet_seconds:g} s, at most {listener.maximum_wait_seconds:g} s"]
    if early.count_from_headers:
        said.append("counts in headers")
    if early.ask_sender:
        asked = [peer for peer in listener.peers if peer.host is not None and peer.port is not None]
        if not asked:
            raise UsageError(
                "no sender can be asked how many instances a series has: give host and port in the [[listener.peers]] "
                "of those that answer C-FIND, or unset listener.completion.ask_sender"
            )
        said.append(f"{len(asked)} of {len(listener.peers)} peers are asked")
    if early.release_ends_closed_series:
        said.append(f"released associations with {early.closed_minimum_slices} slices or more without a gap")
    return "; ".join(said)
