"""A sender that is told of each instance, also that it was refused."""

from tests.survival import wire
from tests.survival.peer import Peer

PIXELS = bytes(400_000)


class Sending:
    """One association, and what was acknowledged on it."""

    def __init__(self, peer: Peer, series: str) -> None:
        self.peer, self.series = peer, series
        self.acknowledged: dict[str, bytes] = {}
        self.count = 0

    def one(self) -> int:
        """Send an instance; its status."""
        self.count += 1
        uid = f"{self.series}.{self.count}"
        data_set = wire.ct_data_set(uid, series=self.series, pixels=PIXELS)
        status = self.peer.store(uid, data_set)
        if status == 0:
            self.acknowledged[uid] = data_set
        return status

    def until_refused(self) -> int:
        """Send until one is refused; its status."""
        for _ in range(400):
            if (status := self.one()) != 0:
                return status
        raise AssertionError("nothing was ever refused")
