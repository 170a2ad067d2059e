"""Which addresses a webhook may reach. Partners choose the URL: it must not open our own network to them."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

# Networks that wrap or translate an IPv4 address, or that `is_global` judges differently between versions of Python.
_REFUSED = tuple(
    map(
        ip_network,
        (
            "100.64.0.0/10",  # shared by carriers (RFC 6598)
            "192.0.0.0/24",  # protocol assignments (RFC 6890)
            "192.88.99.0/24",  # 6to4 relays (RFC 7526)
            "198.18.0.0/15",  # benchmarks (RFC 2544)
            "::/96",  # IPv4-compatible (RFC 4291)
            "64:ff9b::/96",  # NAT64 (RFC 6052)
            "64:ff9b:1::/48",  # local NAT64 (RFC 8215)
            "100::/64",  # discard (RFC 6666)
            "2001::/23",  # protocol assignments, Teredo among them (RFC 2928)
            "2002::/16",  # 6to4 (RFC 3056)
            "3fff::/20",  # documentation (RFC 9637)
            "5f00::/16",  # segment routing (RFC 9602)
            "fec0::/10",  # site-local (RFC 3879)
        ),
    )
)


def is_public_address(text: str) -> bool:
    """Whether an IP address lies on the public internet, and says so itself.

    False for private, loopback, link-local, multicast, reserved and unspecified ones, and for every address that
    carries an IPv4 address within, since it may lead to a private one. False for what is no address.
    """
    try:
        address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return False
    if not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified:
        return False
    return not any(address in network for network in _REFUSED if network.version == address.version)
