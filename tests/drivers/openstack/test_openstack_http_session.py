"""The HTTP session: what the environment says counts, and is asked for once a host."""

from __future__ import annotations

import pytest
import requests.sessions

PROXY = "http://proxy.example.org:3128"
REQUEST = {"proxies": {}, "stream": False, "cert": None}


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses for which the environment was looked at."""
    asked: list[str] = []
    look = requests.sessions.get_environ_proxies

    def noted(url: str, no_proxy: str | None = None) -> object:
        asked.append(url)
        return look(url, no_proxy)

    monkeypatch.setattr(requests.sessions, "get_environ_proxies", noted)
    return asked


def test_proxies_and_certificates_of_the_environment(monkeypatch: pytest.MonkeyPatch, looks: list[str]) -> None:
    from cloudkit_openstack.http_session import HttpSession

    monkeypatch.setenv("https_proxy", PROXY)
    monkeypatch.setenv("no_proxy", "inside.example.org")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/own-ca.pem")
    with HttpSession() as session:
        for _ in range(3):
            outside = session.merge_environment_settings("https://cloud.example.org/compute", verify=True, **REQUEST)
            inside = session.merge_environment_settings("https://inside.example.org/compute", verify=True, **REQUEST)
            unverified = session.merge_environment_settings(
                "https://inside.example.org/compute", verify=False, **REQUEST
            )
    assert outside["proxies"]["https"] == PROXY
    assert "https" not in inside["proxies"]
    assert (outside["verify"], inside["verify"], unverified["verify"]) == (
        "/etc/own-ca.pem",
        "/etc/own-ca.pem",
        False,
    )
    assert len(looks) == 3
