"""How many files and sockets this process may have open, and how many it needs for its associations."""

import resource

_PER_ASSOCIATION = 8
"""As many connections again may be open that have no association yet; one has a socket, two ends that wake its thread,
and, where no receiver takes its instances, a file or two."""
_BESIDE = 256
"""For everything else: state, logs, ports, receivers, call-backs."""


def needed_descriptors(maximum_associations: int) -> int:
    """How many descriptors a listener with so many associations may need."""
    return _BESIDE + _PER_ASSOCIATION * maximum_associations


def allow_descriptors(needed: int) -> int | None:
    """Raise this process's soft limit (RLIMIT_NOFILE) to `needed`, as far as the hard one lets us.

    Not further: some libraries still wait by select(), which knows no descriptor of 1024 and more.

    Returns:
        The limit that is in force if it is less; None when there is room.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return None
    allowed = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return None if allowed >= needed else allowed


def hard_limit() -> int | None:
    """The most that `allow_descriptors` can reach; None where there is no limit."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return None if hard == resource.RLIM_INFINITY else hard
