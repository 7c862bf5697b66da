"""The lock by which one listener has a spool, see `Spool.claim`."""

import fcntl
from pathlib import Path

LOCK = ".lock"
"""Its file, in the folder of the spool."""


def is_claimed(root: Path) -> bool | None:
    """Whether a listener has the spool in this folder now; None where this user may not see it.

    The look itself keeps others from claiming it for a moment: not for use while a listener may start.
    """
    try:
        with (root / LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False
