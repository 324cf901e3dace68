"""Whom a peer of gRPC counts as."""

import pytest

from farm.serve.caller import host_of


@pytest.mark.parametrize(
    ("peer", "told"),
    [
        ("ipv4:127.0.0.1:4711", "host 127.0.0.1"),
        ("ipv4:10.1.2.3:1", "host 10.1.2.3"),
        ("unix:", "unix"),
        ("unix:/run/farm/default.sock", "unix"),
        ("ipv6:%5B2001:db8:0:1::1%5D:4711", "host 2001:db8:0:1::/64"),
        ("ipv6:[2001:db8:0:1:ffff::9]:4711", "host 2001:db8:0:1::/64"),
        ("ipv6:%5Bfe80::1%25eth0%5D:4711", "host fe80::/64"),
        ("ipv6:%5B::ffff:10.1.2.3%5D:4711", "host 10.1.2.3"),
    ],
)
def test_a_caller_is_its_host_without_the_port_and_of_ipv6_its_network(peer, told):
    assert host_of(peer) == told
