"""Names, ports and addresses that a sandbox with a network may reach."""

import ipaddress

import pytest

from synthbench.sandbox.domain.reach import (
    ANYWHERE,
    allows,
    host_name,
    not_public,
    parse_allowed,
    parse_known,
    printable_host,
)


@pytest.mark.parametrize(
    ("rule", "host", "port", "fits"),
    [
        ("example.org", "example.org", 443, True),
        ("Example.ORG.", "example.org", 80, True),
        ("example.org", "example.org", 22, False),
        ("example.org:8443", "example.org", 8443, True),
        ("example.org:8443", "example.org", 443, False),
        ("example.org", "www.example.org", 443, False),
        ("example.org", "notexample.org", 443, False),
        ("*.example.org", "a.b.example.org", 443, True),
        ("*.example.org", "example.org", 443, False),
        ("*.example.org", "evilexample.org", 443, False),
        ("*.example.org", "example.org.evil.net", 443, False),
    ],
)
def test_a_rule_fits_its_host_and_port(rule: str, host: str, port: int, fits: bool):
    assert allows([parse_allowed(rule)], host, port) is fits


def test_what_was_asked_for_is_told_as_far_as_it_can_be_a_name():
    assert printable_host("files.example.org:443") == "files.example.org:443"
    assert printable_host("a\x1b[2J\nb:80") == "a?[2J?b:80"
    assert printable_host("x" * 60_000) == "x" * 259


def test_anywhere_is_every_name_at_the_ports_of_the_web():
    assert allows(ANYWHERE, "example.org", 443)
    assert not allows(ANYWHERE, "example.org", 25)


@pytest.mark.parametrize(
    "text",
    ["", "*", "*.org", "*.*.org", "a.*.org", "http://example.org", "example.org/x", "10.0.0.1", "0x7f.1", "2130706433",
     "[::1]", "::1", "example.org:", "example.org:0", "example.org:99999", "a..b", "-a.org", "ex ample.org", "é.org",
     "user@example.org", "x" * 64 + ".org"],
)  # fmt: skip
def test_what_is_no_rule_is_said_in_one_line(text: str):
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z"):
        parse_allowed(text)


@pytest.mark.parametrize("text", ["127.0.0.1", "127.1", "0177.0.0.1", "0x7f000001", "2130706433", "1.2.3.4.", "a.0x1f"])
def test_addresses_are_no_names_however_they_are_written(text: str):
    assert host_name(text) is None


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.17.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
     "100.100.100.200", "168.63.129.16", "192.0.0.192", "198.18.0.1", "224.0.0.1", "239.1.1.1", "255.255.255.255",
     "240.0.0.1", "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "2002:7f00:1::",
     "2001::1", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1"],
)  # fmt: skip
def test_addresses_that_are_not_public_are_told(address: str):
    assert not_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "151.101.0.223", "2606:4700::1111", "2a04:4e42::223"])
def test_public_addresses_pass(address: str):
    assert not_public(ipaddress.ip_address(address)) is None


def test_the_operator_vouches_for_names():
    known = parse_known("mirror.test=10.0.0.7, git.test=10.1.0.0/16,")
    assert {name: str(network) for name, network in known.items()} == {
        "mirror.test": "10.0.0.7/32",
        "git.test": "10.1.0.0/16",
    }
    for wrong in ("mirror.test", "=1.2.3.4", "mirror.test=here", "1.2.3.4=1.2.3.4"):
        with pytest.raises(ValueError, match="is n"):
            parse_known(wrong)
