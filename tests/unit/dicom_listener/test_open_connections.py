"""Which connection gives way, and the time until an association is opened."""

import socket
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from dicom_listener.network.open_connections import Connection, OpenConnections, giving_way


def waiting(addresses: list[str]) -> list[Connection]:
    with socket.socket() as unused:
        return [Connection(unused, unused, address, float(since)) for since, address in enumerate(addresses)]


ADDRESSES = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.0.3"])


@given(st.lists(ADDRESSES, max_size=20), ADDRESSES)
def test_the_oldest_of_the_most_crowded_address_gives_way(addresses: list[str], new: str) -> None:
    connections = waiting(addresses)
    found = giving_way(connections, new)
    if not connections:
        assert found is None
        return
    assert found is not None
    counts = Counter([*addresses, new])
    assert counts[found.address] == max(counts[one] for one in addresses)
    rivals = [one for one in connections if counts[one.address] == counts[found.address]]
    assert all(found.since <= one.since for one in rivals)


def test_who_opens_many_pushes_out_their_own() -> None:
    connections = waiting(["10.0.0.1", *["10.0.0.2"] * 9])
    given_way = giving_way(connections, "10.0.0.2")
    assert given_way is not None
    assert (given_way.address, given_way.since) == ("10.0.0.2", 1.0)


def test_a_connection_whose_report_is_still_to_be_made_is_in_nobodys_way() -> None:
    connections = OpenConnections(1, 30.0)
    with socket.socket() as first, socket.socket() as second, socket.socket() as third:
        assert connections.add(first, "10.0.0.1")
        connections.begin(connections.of(first), "its association")
        connections.opened(connections.of(first))
        assert not connections.add(second, "10.0.0.2")

        connections.association_over(connections.of(first))
        assert connections.counts().associations == 0
        assert connections.add(third, "10.0.0.2")
        assert not connections.of(third).gave_way
