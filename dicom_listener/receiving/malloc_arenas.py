"""How much memory the C library keeps for threads that come and go."""

import ctypes

_M_ARENA_MAX = -8
"""Of `mallopt`, in glibc's <malloc.h>."""
_ARENAS = 2


def limit_malloc_arenas() -> None:
    """Let all threads of this process share a few arenas; where the C library is not glibc nothing happens.

    glibc gives each new thread an arena of its own, up to eight for each processor, and keeps what was used in it. With
    a thread for each association that came to a quarter of what a listener grew by. Arenas keep threads from waiting
    for each other, which Python's own lock does anyway.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, _ARENAS)
