"""Which connections are open, which of them still owe an association, and which gives way when there are too many.

The whole time until an A-ASSOCIATE-RQ is complete is bounded by one deadline (the ARTIM timer, PS3.8 section 9.1.5),
a TLS handshake included: `cut_overdue` shuts the socket down, and whatever reads from it, here, in OpenSSL or in
pynetdicom, ends. A limit for each read would not do, for a peer that dribbles restarts it with each byte.
"""

import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dicom_listener.association_report import ConnectionRefusal, Connections, Tally

_LOOK_SECONDS = 0.01
_LONGEST_PAUSE = 1.0
"""Of the accept loop, seconds, while connections that gave way come to their end."""


@dataclass(eq=False, slots=True)
class Connection:
    """One connection from its first byte to its last."""

    accepted: socket.socket
    """As the accept loop got it."""
    socket: socket.socket
    """As it is used: TLS replaces it by its own."""
    address: str
    since: float
    """Monotonic clock, seconds."""
    is_waiting: bool = True
    """It owes us an A-ASSOCIATE-RQ."""
    is_ending: bool = False
    """It was rejected or shut down here, and is about to end."""
    gave_way: bool = False
    """It was, to make room for another."""
    association: Any = None
    """pynetdicom's, once there is one."""
    tally: Tally | None = None
    lasted: float = 0.0
    """How long its association did, seconds; once that is over."""
    comment: str = ""
    """Why its association was rejected, in our own words."""

    def cut(self) -> None:
        """Shut it down; whoever serves it notices, and closes it."""
        self.is_ending = True
        with suppress(OSError):  # closed by the peer meanwhile
            # not SSLSocket's own shutdown, which takes the TLS state from the thread that uses it
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)


class OpenConnections:
    """The connections of all ports; for any number of threads."""

    def __init__(self, maximum: int, artim_seconds: float) -> None:
        """At most `maximum` are open at once; each opens its association within `artim_seconds`."""
        self._maximum = maximum
        self._artim_seconds = artim_seconds
        self._open: dict[socket.socket, Connection] = {}
        self._by_association: dict[object, Connection] = {}
        self._refused: Counter[ConnectionRefusal] = Counter()
        self._changed = threading.Condition()

    def add(self, new: socket.socket, address: str) -> bool:
        """Note a new connection; False when there is no room for it.

        Where there are too many, one that has opened no association gives way, so that whoever only connects cannot
        keep others out.
        """
        with self._changed:
            inside = [one for one in self._open.values() if not one.is_ending]
            if len(inside) >= self._maximum:
                self._refused[ConnectionRefusal.LIMIT] += 1
                given = giving_way([one for one in inside if one.is_waiting], address)
                if given is None:
                    return False
                given.gave_way = True
                given.cut()
                # those that end do so in their own threads: a flood must not outrun them, nor push out whoever is next
                if not self._changed.wait_for(lambda: len(self._open) < 2 * self._maximum, _LONGEST_PAUSE):
                    return False
            self._open[new] = Connection(new, new, address, time.monotonic())
            return True

    def of(self, accepted: socket.socket) -> Connection:
        """What is noted of a connection. Raises `KeyError` when it was never added."""
        with self._changed:
            return self._open[accepted]

    def seconds_left(self, connection: Connection) -> float:
        """How much of the ARTIM time is left to a connection, seconds; more than 0."""
        return max(connection.since + self._artim_seconds - time.monotonic(), 0.001)

    def refuse(self, connection: Connection, why: ConnectionRefusal) -> None:
        """Note that a connection is closed before it became an association."""
        with self._changed:
            if not connection.gave_way:  # it was counted
                self._refused[why] += 1

    def begin(self, connection: Connection, association: object) -> Tally:
        """Note that an association is being opened on a connection."""
        tally = Tally(time.monotonic())
        with self._changed:
            connection.association, connection.tally = association, tally
            self._by_association[association] = connection
        return tally

    def opened(self, connection: Connection) -> None:
        """Note that the A-ASSOCIATE-RQ has arrived: the ARTIM timer stops."""
        with self._changed:
            connection.is_waiting = False

    def turned_away(self, connection: Connection) -> None:
        """Note that the association was rejected: others need not wait until its connection has ended."""
        with self._changed:
            connection.is_ending = True

    def association_over(self, connection: Connection) -> None:
        """Note that the association on a connection ended: it is in nobody's way while its report is made."""
        with self._changed:
            connection.is_ending = True
            if connection.tally is not None:
                connection.lasted = time.monotonic() - connection.tally.began
            self._by_association.pop(connection.association, None)

    def end(self, connection: Connection) -> None:
        """Note that a connection ended, and the association on it if there was one."""
        with self._changed:
            self._open.pop(connection.accepted, None)
            self._by_association.pop(connection.association, None)
            self._changed.notify_all()

    def tally(self, association: object) -> Tally:
        """The tally of an association that runs."""
        with self._changed:
            found = self._by_association.get(association)
        return Tally(time.monotonic()) if found is None or found.tally is None else found.tally

    def counts(self) -> Connections:
        """What is connected now."""
        with self._changed:
            return Connections(len(self._open), len(self._by_association), dict(self._refused))

    def cut_overdue(self) -> None:
        """End the connections that owe their association for too long; to be called several times a second."""
        now = time.monotonic()
        with self._changed:
            for one in self._open.values():
                if one.is_waiting and not one.is_ending and now - one.since > self._artim_seconds:
                    one.cut()

    def abort_all(self, seconds: float) -> bool:
        """Abort what runs and wait until every connection ended; False when some did not within the time.

        Connections are cut once the aborts are sent, after half the time at the latest.
        """
        with self._changed:
            running = list(self._by_association)
            for association in running:
                if self._is_established(association):
                    association.abort(block=False)  # type: ignore[attr-defined]  # pynetdicom's Association
            until = time.monotonic() + seconds / 2
            while not all(map(_is_told, running)) and time.monotonic() < until:
                self._changed.wait(_LOOK_SECONDS)  # pynetdicom says when it wants to abort, not when it has
            for connection in self._open.values():
                connection.cut()
            return self._changed.wait_for(lambda: not self._open, seconds / 2)

    @staticmethod
    def _is_established(association: Any) -> bool:  # noqa: ANN401 (pynetdicom's Association)
        return bool(association.is_established)


def _is_told(association: Any) -> bool:  # noqa: ANN401 (pynetdicom's Association)
    """Whether nothing is to be sent to the peer any more (PS3.8 table 9-10: Sta1, Sta13)."""
    return association.dul.state_machine.current_state in {"Sta1", "Sta13"}


def giving_way(waiting: list[Connection], address: str) -> Connection | None:
    """The connection that gives way to a new one from `address`: the oldest of the address that has most waiting.

    Whoever opens many at once pushes out their own, not those of others.
    """
    counts = Counter(one.address for one in waiting)
    counts[address] += 1
    most = max(counts[one.address] for one in waiting) if waiting else 0
    crowded = [one for one in waiting if counts[one.address] == most]
    return min(crowded, key=lambda one: one.since, default=None)
