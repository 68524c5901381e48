from __future__ import annotations

import pytest

from cloudkit._hostname import hostname_of


@pytest.mark.parametrize(
    ("name", "hostname"),
    [("Web 1", "web-1"), ("a_b", "a-b"), ("grüße", "gre"), ("...", "Server-the-id"), ("x" * 80, "x" * 63),
     ("", "Server-the-id"),
     ("a" * 62 + ".b", "a" * 62)],
)  # fmt: skip
def test_hostnames(name: str, hostname: str) -> None:
    assert hostname_of(name, "the-id") == hostname
