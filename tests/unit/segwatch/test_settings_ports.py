"""Ports of one site that get in each other's way."""

import pytest
from pydantic import ValidationError

from segwatch.settings import SiteSettings
from segwatch.settings_ports import WantedPort, clash

TLS = {"certificate": "c.pem", "key": "k.pem", "trusted": "t.pem"}


@pytest.mark.parametrize(
    ("listener", "metrics", "keys"),
    [
        ({"port": 104, "tls": {**TLS, "port": 104, "also_plain": True}}, {}, "listener.port and listener.tls.port"),
        ({"port": 104, "stow": {"port": 104}}, {}, "listener.port and listener.stow.port"),
        ({"port": 104}, {"port": 104}, "listener.port and metrics.port"),
        ({"tls": {**TLS, "port": 104}, "stow": {"port": 104}}, {}, "listener.tls.port and listener.stow.port"),
        ({"stow": {"port": 104}}, {"port": 104}, "listener.stow.port and metrics.port"),
    ],
)
def test_a_clash_names_both_keys(listener: dict[str, object], metrics: dict[str, object], keys: str) -> None:
    with pytest.raises(ValidationError, match=f"{keys} are both 104: give each a port of its own"):
        SiteSettings.model_validate({"site": {"id": "x"}, "listener": listener, "metrics": metrics})


@pytest.mark.parametrize(
    "listener",
    [
        {"port": 104, "tls": {**TLS, "port": 104}},  # the plain port stays closed
        {"port": 104, "tls": {"port": 104}},  # no certificate: no TLS
        {"port": 0, "tls": {**TLS, "port": 0, "also_plain": True}, "stow": {"port": 0}},
        {"host": "10.1.2.3", "port": 104, "stow": {"port": 104}},
    ],
)
def test_what_is_not_bound_together_does_not_clash(listener: dict[str, object]) -> None:
    SiteSettings.model_validate({"site": {"id": "x"}, "listener": listener})


@pytest.mark.parametrize(
    ("one", "other", "clashes"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "localhost", True),
        ("127.0.0.1", "127.0.0.2", False),
        ("0.0.0.0", "127.0.0.2", True),  # noqa: S104 (compared with, not bound)
        ("", "127.0.0.2", True),
        ("", "0.0.0.0", True),  # noqa: S104 (compared with)
        ("::", "127.0.0.1", True),
        ("::", "::1", True),
        ("0.0.0.0", "::1", False),  # noqa: S104 (compared with)
    ],
)
def test_addresses_that_overlap(one: str, other: str, *, clashes: bool) -> None:
    for pair in ((one, other), (other, one)):
        assert (clash([WantedPort(host, host, 104) for host in pair]) is not None) is clashes
