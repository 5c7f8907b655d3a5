"""Which addresses are the public internet's, against the registries and lists of tricks."""

from ipaddress import ip_address

import pytest

from app.errors import ServiceError
from app.messages.webhooks.addresses import Address, is_public, read_literal
from app.messages.webhooks.guard import (
    Rules,
    Unresolved,
    check_webhook,
    checked_addresses,
    read_target,
    rules_of,
)
from app.messages.webhooks.resolving import resolve
from app.settings import BadSettings, read_settings

PUBLIC = ("8.8.8.8", "93.184.215.14", "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001::200e")
# The special-purpose registries of IANA (RFC 6890 and its updates), and what can hide in IPv6.
OTHERS = (
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.9.9.9"),
    *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1"),
    *("192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.9", "224.0.0.1", "239.255.255.250"),
    *("240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::7f00:1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254"),
    *("64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1"),
    *("2001:0:4136:e378:8000:63bf:3fff:fdd2", "2002:7f00:1::", "2002:a00:1::1", "2002:c0a8:101::"),
    *("3fff::1", "fc00::1", "fd00::1", "fe80::1", "fec0::1", "ff02::1", "5f00::1", "4000::1"),
)
ODD_FORMS = (
    *("127.1", "0x7f000001", "0x7f.0.0.1", "2130706433", "017700000001", "0177.0.0.1", "1.2.3"),
    *("1.2.3.4.5", "256.1.1.1", "1.2.3.4.", "127.0.0.1.", "a.0x", "a.0x7f", "fe80::1%eth0", ":"),
)
RULES = Rules(ports=frozenset({443, 8443}), networks=())


def nowhere(host: str, port: int) -> list[Address]:
    raise AssertionError(f"{host} was looked up")


def leading_to(*addresses: str) -> object:
    return lambda host, port: [ip_address(one) for one in addresses]


@pytest.mark.parametrize("text", PUBLIC)
def test_a_servers_address_is_public(text: str) -> None:
    assert is_public(ip_address(text))


def test_what_carries_a_public_address_is_public() -> None:
    assert all(
        is_public(ip_address(text))
        for text in ("::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1")
    )


@pytest.mark.parametrize("text", OTHERS)
def test_no_other_address_is(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", ODD_FORMS)
def test_an_address_has_one_form(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_literal(text)


@pytest.mark.parametrize(
    "text", ["example.com", "1.example", "a1", "0x.example", "xn--bcher-kva.ch"]
)
def test_a_name_is_no_address(text: str) -> None:
    assert read_literal(text) is None


@pytest.mark.parametrize(
    "url",
    [
        *(f"https://{one}/" if ":" not in one else f"https://[{one}]/" for one in OTHERS),
        *(f"https://{one}/" for one in ODD_FORMS),
        *("https://localhost/", "https://localhost./", "https://a.localhost/", "http://8.8.8.8/"),
        *("https://8.8.8.8:22/", "https://8.8.8.8:0/", "https://8.8.8.8:99999/", "https://[::1/"),
        *("https://u@8.8.8.8/", "https://:p@8.8.8.8/", "https://u:p@8.8.8.8/", "ftp://8.8.8.8/"),
        *("https:///etc/passwd", "https://a_b..c/", "https://-a/", "https://a\\@8.8.8.8/"),
        *("https://8.8.8.8\\@10.0.0.1/", "https://[v1.a]/", "https://" + "a" * 64 + "/"),
    ],
)
def test_a_url_that_leads_elsewhere_is_refused_without_a_look_up(url: str) -> None:
    with pytest.raises(ServiceError) as caught:
        check_webhook(url, RULES, nowhere)

    assert caught.value.code == "forbidden-url"
    assert [one.pointer for one in caught.value.errors] == ["/webhook"]
    assert url not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://8.8.8.8/", "https://[2606:4700::1]:8443/a?b", "HTTPS://8.8.8.8:443"]
)
def test_a_url_of_a_public_server_is_taken(url: str) -> None:
    check_webhook(url, RULES, nowhere)


def test_every_address_of_a_name_is_checked() -> None:
    good, bad = leading_to("8.8.8.8", "1.1.1.1"), leading_to("8.8.8.8", "10.0.0.1")

    check_webhook("https://hooks.example/", RULES, good)  # type: ignore[arg-type]
    with pytest.raises(ServiceError):
        check_webhook("https://hooks.example/", RULES, bad)  # type: ignore[arg-type]


def test_a_name_without_an_address_is_taken_and_not_called() -> None:
    def none(host: str, port: int) -> list[Address]:
        raise Unresolved

    check_webhook("https://hooks.example/", RULES, none)
    with pytest.raises(Unresolved):
        checked_addresses(read_target("https://hooks.example/", RULES), RULES, none)


def test_an_operators_network_may_be_called_at_any_port_and_over_http() -> None:
    rules = rules_of(read_settings(webhook_networks="127.0.0.0/8, 10.20.0.0/16"))

    check_webhook("http://127.0.0.1:9/", rules, nowhere)
    check_webhook("http://hooks.example:9/", rules, leading_to("10.20.3.4"))  # type: ignore[arg-type]
    for url in ("http://10.21.0.1/", "http://8.8.8.8/", "https://8.8.8.8:9/", "https://[::1]/"):
        with pytest.raises(ServiceError):
            check_webhook(url, rules, nowhere)
    with pytest.raises(ServiceError):
        check_webhook("http://a.example/", rules, leading_to("10.20.0.1", "10.0.0.1"))  # type: ignore[arg-type]


def test_networks_that_are_none_are_refused_when_the_service_starts() -> None:
    with pytest.raises(BadSettings, match="FEWSTEP_WEBHOOK_NETWORKS"):
        read_settings(webhook_networks="127.0.0.1/8")


def test_names_are_looked_up_by_the_system() -> None:
    assert ip_address("127.0.0.1") in resolve("localhost", 443)
    with pytest.raises(Unresolved):
        resolve("no-such-name.invalid", 443)
