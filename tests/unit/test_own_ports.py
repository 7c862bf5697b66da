"""Tests that run at once take no port of each other's servers."""

from itertools import combinations

from tests.peers.ports import own_ports


def of_worker(number: int, count: int) -> range:
    return own_ports({"PYTEST_XDIST_WORKER": f"gw{number}", "PYTEST_XDIST_WORKER_COUNT": str(count)})


def test_each_process_has_ports_of_its_own() -> None:
    parts = [of_worker(number, 7) for number in range(7)]

    assert all(len(part) > 1000 for part in parts)
    assert not any(set(one) & set(other) for one, other in combinations(parts, 2))
    assert set().union(*parts) <= set(own_ports({}))


def test_a_process_alone_has_all_of_them() -> None:
    assert own_ports({}) == of_worker(0, 1)
