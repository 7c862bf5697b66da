"""When a burst of instances is over, and when it has lasted too long for the journal. Pure: the time is passed in."""

QUIET_SECONDS = 0.25
"""Without a further instance, a burst is over."""


class Burst:
    """The instances of one process that come closely after one another; for any number of threads.

    No lock: where two write at once, either is right.
    """

    def __init__(self, longest_seconds: float) -> None:
        """An instance waits for its file, and a burst goes to the journal, for no more than `longest_seconds`."""
        self._longest = longest_seconds
        self._quiet = self._pause = min(QUIET_SECONDS, longest_seconds)
        self._began = self._latest = float("-inf")
        self._is_taken = True

    def takes(self, now: float) -> bool:
        """An instance begins; whether it is of a burst that may go to the journal.

        What goes on for longer is no burst: each of its instances would be written twice while others wait. A pause
        that ends a burst does not end that: a disk with too much to do makes such pauses itself.
        """
        if now - self._latest > self._pause:
            self._began, self._pause, self._is_taken = now, self._quiet, True
        self._latest = now
        if self._is_taken and now - self._began >= self._longest:
            self._is_taken, self._pause = False, self._longest
        return self._is_taken

    def note(self, now: float) -> None:
        """An instance has come."""
        self._latest = now

    def exhaust(self) -> None:
        """There is no room for more of it; if there was for some of it, it was too much."""
        self._is_taken = False
        if self._latest > self._began:
            self._pause = self._longest

    def due_at(self, oldest: float) -> float:
        """When instances are to get their files, of which the first has waited since `oldest`."""
        return min(self._latest + self._quiet, oldest + self._longest)
