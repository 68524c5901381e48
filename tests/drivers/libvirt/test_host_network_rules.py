"""The nft script that a topology becomes; what it does to packets is shown by the tests with real guests."""

from __future__ import annotations

import re
import shutil
import subprocess
import uuid
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudkit._security_groups import PROTOCOLS
from cloudkit.errors import Conflict
from cloudkit.types import SecurityGroupRule
from cloudkit_libvirt.hostnet.host import Host
from cloudkit_libvirt.hostnet.keeper import check_keeper
from cloudkit_libvirt.hostnet.rules import REMOVE, render
from cloudkit_libvirt.hostnet.topology import External, Group, Guest, Segment, Topology, Translation

GROUP, OTHER = (str(uuid.UUID(int=number)) for number in (1, 2))
RULE = SecurityGroupRule(id="rule", direction="ingress")
SSH = replace(RULE, protocol="tcp", port_min=22, port_max=22)
GUEST = Guest(tap="ckt1", bridge="cka", mac="52:54:00:00:00:01", ip="10.1.0.2", group_ids=(GROUP,))
SMALL = Topology(
    segments=(Segment(network="ck-a", bridge="cka", cidr=IPv4Network("10.1.0.0/24"), router="r", leads_out=True),),
    guests=(GUEST,),
    groups=(Group(id=GROUP, rules=(SSH,), members=("10.1.0.2",)),),
    externals=(External(network="ck-x", bridge="ckx", addresses=("172.24.4.9",)),),
    translations=(Translation(floating_ip="172.24.4.9", fixed_ip="10.1.0.2"),),
    sources=((IPv4Network("10.1.0.0/24"), "172.24.4.2"),),
)


CLOUD = str(uuid.UUID(int=9))


def script_of(topology: Topology) -> str:
    return render(topology, CLOUD)


def with_rules(*rules: SecurityGroupRule) -> str:
    """The script for one group with these rules."""
    return script_of(replace(SMALL, groups=(replace(SMALL.groups[0], rules=rules),)))


def chain(script: str, name: str) -> list[str]:
    """The lines of a chain."""
    found = re.search(rf"  chain {name} {{\n(.*?)  }}", script, re.DOTALL)
    assert found is not None, name
    return [line.strip() for line in found[1].splitlines()]


def ingress(*rules: SecurityGroupRule) -> list[str]:
    return chain(with_rules(*rules), f"group_{uuid.UUID(GROUP).hex}_in")


def test_without_a_network_nothing_is_left_of_us() -> None:
    assert script_of(Topology()) == REMOVE
    assert script_of(replace(SMALL, segments=())) == REMOVE


def test_only_our_own_tables_are_named() -> None:
    assert set(re.findall(r"^(?:delete )?table (\S+ \S+)", script_of(SMALL), re.MULTILINE)) == {
        "inet cloudkit",
        "bridge cloudkit",
    }


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        (RULE, "accept"),
        (SSH, "meta l4proto 6 th dport 22-22 accept"),
        (replace(SSH, protocol="udp", port_max=30), "meta l4proto 17 th dport 22-30 accept"),
        (replace(SSH, protocol="6"), "meta l4proto 6 th dport 22-22 accept"),
        (replace(RULE, protocol="tcp"), "meta l4proto 6 accept"),
        (replace(RULE, protocol="89"), "meta l4proto 89 accept"),
        (replace(RULE, protocol="icmp", port_min=8), "icmp type 8 accept"),
        (replace(RULE, protocol="icmp", port_min=3, port_max=4), "icmp type 3 icmp code 4 accept"),
        (replace(SSH, remote_cidr="192.0.2.0/24"), "ip saddr 192.0.2.0/24 meta l4proto 6 th dport 22-22 accept"),
        (replace(SSH, remote_cidr="0.0.0.0/0"), "meta l4proto 6 th dport 22-22 accept"),
        (replace(RULE, remote_group_id=GROUP), f"ip saddr @members_{uuid.UUID(GROUP).hex} accept"),
    ],
)
def test_a_rule_becomes_a_line(rule: SecurityGroupRule, line: str) -> None:
    assert ingress(rule) == [line]


def test_what_goes_out_is_told_by_where_it_goes() -> None:
    script = with_rules(replace(RULE, direction="egress", remote_cidr="192.0.2.0/24"))
    assert chain(script, f"group_{uuid.UUID(GROUP).hex}_out") == ["ip daddr 192.0.2.0/24 accept"]
    assert chain(script, f"group_{uuid.UUID(GROUP).hex}_in") == []


def test_rules_of_groups_that_are_gone_allow_nothing() -> None:
    assert ingress(replace(RULE, remote_group_id=OTHER), replace(RULE, ip_version=6)) == []


def test_a_guest_without_groups_gets_nothing() -> None:
    script = script_of(replace(SMALL, guests=(replace(GUEST, group_ids=()),)))
    assert chain(script, "groups_0_in") == ["drop"]
    assert chain(script, "groups_0_out") == ["drop"]


def test_who_is_not_known_sends_nothing() -> None:
    script = script_of(replace(SMALL, guests=()))
    assert chain(script, "prerouting")[-1] == 'iifname "ckt*" goto guest'
    assert chain(script, "guest")[0] == "iifname . ether saddr != @macs drop"
    assert chain(script, "guest")[-1] == "drop"


def test_a_network_without_a_router_has_a_way_to_itself_only() -> None:
    alone = Segment(network="ck-b", bridge="ckb", cidr=IPv4Network("10.2.0.0/24"))
    script = script_of(replace(SMALL, segments=(*SMALL.segments, alone)))
    assert chain(script, "way_0") == ["ip daddr { 10.1.0.0/24 } accept", 'oifname != { "cka", "ckb" } accept']
    assert chain(script, "way_1") == ["ip daddr { 10.2.0.0/24 } accept"]


IPV6 = replace(
    SMALL,
    segments=(*SMALL.segments, replace(SMALL.segments[0], cidr=IPv6Network("fd00:1::/64"))),
    guests=(replace(GUEST, ip6="fd00:1::5054:ff:fe00:1"),),
)


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        (RULE, "accept"),
        (SSH, "meta l4proto 6 th dport 22-22 accept"),
        (replace(RULE, protocol="icmp"), "meta l4proto 58 accept"),
        (replace(RULE, protocol="icmpv6", port_min=128, port_max=0), "icmpv6 type 128 icmpv6 code 0 accept"),
        (replace(RULE, remote_cidr="fd00:2::/64"), "ip6 saddr fd00:2::/64 accept"),
        (replace(RULE, remote_group_id=GROUP), f"ip6 saddr @members_{uuid.UUID(GROUP).hex}6 accept"),
    ],
)
def test_a_rule_of_ipv6_becomes_a_line_of_its_own_chain(rule: SecurityGroupRule, line: str) -> None:
    script = script_of(replace(IPV6, groups=(replace(SMALL.groups[0], rules=(replace(rule, ip_version=6),)),)))
    assert chain(script, f"group_{uuid.UUID(GROUP).hex}_in6") == [line]
    assert chain(script, f"group_{uuid.UUID(GROUP).hex}_in") == []


def test_neighbours_on_two_bridges_may_have_the_same_address() -> None:
    other = replace(IPV6.guests[0], tap="ckt2", bridge="ckb", ip="10.2.0.2", ip6="fd00:2::5054:ff:fe00:1")
    script = script_of(replace(IPV6, guests=(*IPV6.guests, other)))
    assert '"cka" . fe80::5054:ff:fe00:1 : ' in script
    assert '"ckb" . fe80::5054:ff:fe00:1 : ' in script


def test_without_an_ipv6_subnet_nothing_of_it_passes() -> None:
    assert "ip6" not in script_of(SMALL)
    assert chain(script_of(SMALL), "guest")[-1] == "drop"


def test_the_script_grows_with_what_is_there_and_not_with_its_square() -> None:
    def size(factor: int) -> int:
        ids = [str(uuid.UUID(int=number)) for number in range(1, 10 * factor + 1)]
        groups = tuple(
            Group(id=id, rules=tuple(replace(SSH, port_min=port) for port in range(1, 21)), members=(f"10.1.0.{2}",))
            for id in ids
        )
        guests = tuple(
            Guest(
                tap=f"ckt{number}",
                bridge="cka",
                mac=f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}",
                ip=f"10.1.{number >> 8}.{number & 255}",
                group_ids=(ids[number % len(ids)], ids[(number * 7) % len(ids)]),
            )
            for number in range(1, 40 * factor)
        )
        return len(script_of(replace(SMALL, guests=guests, groups=groups)))

    one, four = size(1), size(4)
    assert four < 5 * one


TEXTS = st.text(max_size=20) | st.sampled_from(
    ["} drop", "tcp accept; drop", "22\naccept", "10.0.0.1, 10.0.0.2", "1\x85", "1_0"]
)


@given(text=TEXTS)
def test_text_from_a_record_cannot_become_a_rule(text: str) -> None:
    evil = (
        replace(SMALL, guests=(replace(GUEST, tap=text),)),
        replace(SMALL, guests=(replace(GUEST, mac=text),)),
        replace(SMALL, guests=(replace(GUEST, ip=text or "x"),)),
        replace(SMALL, segments=(replace(SMALL.segments[0], bridge=text),)),
        replace(SMALL, externals=(External(network="ck-x", bridge="ckx", addresses=(text,)),)),
        replace(SMALL, translations=(Translation(floating_ip=text, fixed_ip="10.1.0.2"),)),
        replace(SMALL, groups=(replace(SMALL.groups[0], id=text),)),
        replace(SMALL, groups=(replace(SMALL.groups[0], members=(text,)),)),
        replace(SMALL, groups=(replace(SMALL.groups[0], rules=(replace(SSH, protocol=text or "x"),)),)),
    )
    for topology in evil:
        try:
            script_of(topology)
        except ValueError:
            continue
        assert re.fullmatch(r"[a-z0-9.:-]+", text), topology


@pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not installed")
@pytest.mark.parametrize("topology", [SMALL, IPV6], ids=["IPv4", "both"])
def test_nft_takes_the_script(topology: Topology) -> None:
    rules = (
        SSH,
        *(replace(RULE, protocol=name) for name in PROTOCOLS),
        replace(RULE, protocol="icmp", port_min=8),
        replace(RULE, protocol="89", remote_group_id=GROUP),
    )
    of_ipv6 = (replace(rule, ip_version=6) for rule in rules)
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", "nft", "-c", "-f", "-"],
        input=script_of(replace(topology, groups=(replace(SMALL.groups[0], rules=(*rules, *of_ipv6)),))),
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare" in done.stderr:
        pytest.skip("this user may not make a network namespace")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_host_that_another_cloud_keeps_is_left_to_it() -> None:
    class KeptHost(Host):
        def run(self, argv: Sequence[str], *, input: str | None = None) -> str:
            assert list(argv) == ["nft", "list", "chains", "inet"]
            return kept

    kept = script_of(SMALL)
    check_keeper(KeptHost(), CLOUD)
    with pytest.raises(Conflict, match="another cloud"):
        check_keeper(KeptHost(), OTHER)
    kept = "table inet cloudkit {\n\tchain forward_way {\n\t}\n}\n"
    check_keeper(KeptHost(), OTHER)
