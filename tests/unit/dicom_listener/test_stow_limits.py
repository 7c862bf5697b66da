"""How many connections and requests the STOW-RS server serves at once: in all, and of one address or client."""

from collections.abc import Callable
from contextlib import ExitStack, closing

from dicom_listener.stow.report import StowConnectionRefusal
from tests.peers.waiting import wait_until
from tests.unit.dicom_listener.stow_pushing import multipart, part10
from tests.unit.dicom_listener.stow_running import Running, head, is_closed

OTHER_ADDRESS = "127.0.0.2"


def test_idle_connections_keep_nobody_out(servers: Callable[..., Running]) -> None:
    running = servers(maximum_connections=3)
    with ExitStack() as open_:
        held = [open_.enter_context(closing(running.connect())) for _ in range(3)]
        wait_until(lambda: running.server.connections().open == len(held), "three connections are open")
        assert running.post(multipart(part10(1))).status == 200
        assert is_closed(held[0])
        assert running.post(multipart(part10(2))).status == 200
    wait_until(lambda: running.server.connections().open == 0, "the places are free again")


def test_a_burst_of_idle_connections_stays_within_bounds(servers: Callable[..., Running]) -> None:
    running = servers(maximum_connections=8)
    most = 0
    with ExitStack() as open_:
        for _ in range(300):
            open_.enter_context(closing(running.connect()))
            most = max(most, running.server.connections().open)
        assert running.post(multipart(part10(1))).status == 200
        wait_until(lambda: running.server.connections().open <= 8, "those that made room are closed")
    assert most <= 8 + 16
    wait_until(lambda: running.server.connections().open == 0, "all are closed")


def test_a_connection_too_many_is_closed_when_all_are_busy(servers: Callable[..., Running]) -> None:
    running = servers(maximum_connections=2)
    body = multipart(part10(1), part10(2))
    with ExitStack() as open_:
        busy = [open_.enter_context(closing(running.connect())) for _ in range(2)]
        for connection in busy:
            connection.sendall(head(len(body)) + body[:-100])
        wait_until(lambda: len(running.stored) == len(busy), "both requests are under way")
        with closing(running.connect()) as third:
            assert is_closed(third)
        for connection in busy:
            connection.sendall(body[-100:])
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    wait_until(lambda: running.server.connections().open == 0, "the places are free again")


def test_an_address_with_too_many_connections_gives_way_to_itself_alone(servers: Callable[..., Running]) -> None:
    running = servers(maximum_connections=6, maximum_connections_per_address=2)
    with ExitStack() as open_:
        other = open_.enter_context(closing(running.connect(OTHER_ADDRESS)))  # idle for longest of all
        wait_until(lambda: running.server.connections().open == 1, "the other is there")
        greedy = [open_.enter_context(closing(running.connect())) for _ in range(5)]
        for connection in greedy[:3]:
            assert is_closed(connection)
        wait_until(lambda: running.server.connections().open == 3, "two and the other are left")
        found = running.server.connections().refused
        assert (found[StowConnectionRefusal.ADDRESS_LIMIT], found[StowConnectionRefusal.LIMIT]) == (3, 0)
        other.sendall(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
        assert other.recv(65536).startswith(b"HTTP/1.1 404")
    wait_until(lambda: running.server.connections().open == 0, "the places are free again")
    for number in range(1, 4):  # and so are those of the address
        assert running.post(multipart(part10(number))).status == 200


def test_an_address_whose_connections_are_busy_gets_no_more_and_others_do(servers: Callable[..., Running]) -> None:
    running = servers(maximum_connections_per_address=1)
    body = multipart(part10(1), part10(2))
    with closing(running.connect()) as busy:
        busy.sendall(head(len(body)) + body[:-100])
        wait_until(lambda: len(running.stored) == 1, "the request is under way")
        with closing(running.connect()) as second:
            assert is_closed(second)
        with closing(running.connect(OTHER_ADDRESS)) as other:
            other.sendall(head(len(body)) + body)
            assert other.recv(65536).startswith(b"HTTP/1.1 200")
        busy.sendall(body[-100:])
        assert busy.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_client_with_many_requests_leaves_room_for_others(servers: Callable[..., Running]) -> None:
    running = servers(maximum_requests=2, maximum_requests_per_peer=1)
    body = multipart(part10(1), part10(2))
    with closing(running.connect()) as slow:
        slow.sendall(head(len(body)) + body[:-100])
        wait_until(lambda: len(running.stored) == 1, "the request is under way")
        refused = running.post(body)
        assert (refused.status, refused.getheader("Retry-After")) == (503, "30")
        with closing(running.connect(OTHER_ADDRESS)) as other:
            other.sendall(head(len(body)) + body)
            assert other.recv(65536).startswith(b"HTTP/1.1 200")
        slow.sendall(body[-100:])
        assert slow.recv(65536).startswith(b"HTTP/1.1 200")
    assert running.post(body).status == 200
