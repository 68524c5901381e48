"""Which firmware an image asks for; and a guest's file systems are let go, whatever happens."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import libvirt
import pytest

from cloudkit.errors import CloudError, InvalidRequest
from cloudkit.types import FrozenMap
from cloudkit_libvirt import firmware, quiesce
from cloudkit_libvirt.bodies import ImageBody, Phase
from cloudkit_libvirt.xml_tree import parse


def image(**metadata: str) -> ImageBody:
    return ImageBody(
        phase=Phase.READY,
        project_id="p",
        name="i",
        created_at="2026-01-01T00:00:00+00:00",
        disk_format="raw",
        metadata=FrozenMap(metadata),
    )


@pytest.mark.parametrize(("metadata", "word"), [({}, "bios"), ({"hw_firmware_type": "uefi"}, "uefi")], ids=str)
def test_an_image_asks_for_a_firmware(metadata: dict[str, str], word: str) -> None:
    assert firmware.wanted_by(image(**metadata)) == word


def test_a_record_with_another_word_boots_nothing() -> None:
    with pytest.raises(InvalidRequest, match="openfirmware"):
        firmware.wanted_by(image(hw_firmware_type="openfirmware"))


@pytest.mark.parametrize(("os", "word"), [("<os/>", "bios"), ("<os firmware='efi'/>", "uefi")])
def test_a_server_keeps_its_firmware(os: str, word: str) -> None:
    domain = parse(f"<domain>{os}</domain>")
    firmware.require_same(image(hw_firmware_type=word), domain)
    other = {"bios": "uefi", "uefi": "bios"}[word]
    with pytest.raises(InvalidRequest, match=f"boots by {other}, and the server by {word}"):
        firmware.require_same(image(hw_firmware_type=other), domain)


@pytest.fixture(autouse=True)
def restless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiesce, "_RETRY_S", 0.0)


class Domain:
    """A domain whose agent fails as often as told, and that notes what is asked of it."""

    def __init__(
        self,
        *,
        state: int = libvirt.VIR_DOMAIN_RUNNING,
        freeze: int = 0,
        thaw: int = 0,
        code: int = libvirt.VIR_ERR_AGENT_UNRESPONSIVE,
    ) -> None:
        self.failures = {"freeze": freeze, "thaw": thaw}
        self.code = code
        self.state = state
        self.asked: list[str] = []

    def info(self) -> list[int]:
        return [self.state]

    def name(self) -> str:
        return "ck-x"

    def agentSetResponseTimeout(self, _seconds: int) -> None:
        pass

    def fsFreeze(self) -> None:
        self._do("freeze")

    def fsThaw(self) -> None:
        self._do("thaw")

    def _do(self, what: str) -> None:
        self.asked.append(what)
        if self.failures[what]:
            self.failures[what] -= 1
            error = libvirt.libvirtError("it has failed")
            error.err = (self.code, libvirt.VIR_FROM_QEMU, "it has failed", 2, None, None, None, -1, -1)
            raise error


def found_as(domain: Any) -> Any:
    """All domains, of which every one is found as this."""
    return Mock(again=Mock(return_value=domain))


def hold(domain: Any) -> bool:
    with quiesce.frozen(found_as(domain), domain) as still:
        domain.asked.append("copy")
    return still


def test_an_agent_holds_still_around_the_copy() -> None:
    domain = Domain()
    assert hold(domain)
    assert domain.asked == ["freeze", "copy", "thaw"]


def test_it_is_let_go_when_the_copy_fails() -> None:
    domain: Any = Domain()
    with pytest.raises(ValueError, match="mine"), quiesce.frozen(found_as(domain), domain):
        raise ValueError("mine")
    assert domain.asked == ["freeze", "thaw"]


def test_one_that_does_not_answer_may_do_it_late() -> None:
    domain = Domain(freeze=1)
    assert not hold(domain)
    assert domain.asked == ["freeze", "thaw", "copy"]


def test_no_agent_at_all() -> None:
    assert not hold(Domain(freeze=1, thaw=1))


def test_a_halted_guest_is_not_asked() -> None:
    domain = Domain(state=libvirt.VIR_DOMAIN_PAUSED)
    assert not hold(domain)
    assert domain.asked == ["copy"]


def test_letting_go_is_tried_again() -> None:
    domain = Domain(thaw=2)
    assert hold(domain)
    assert domain.asked == ["freeze", "copy", "thaw", "thaw", "thaw"]


def test_a_guest_is_let_go_by_a_new_connection_where_the_old_one_was_lost() -> None:
    lost: Any = Domain(thaw=99)
    again = Domain(thaw=1)
    with quiesce.frozen(found_as(again), lost) as still:
        assert still
    assert (lost.asked, again.asked) == (["freeze"], ["thaw", "thaw"])


def test_a_guest_whose_freeze_was_not_answered_is_let_go() -> None:
    lost: Any = Domain(freeze=1, code=libvirt.VIR_ERR_RPC)
    again = Domain()
    with pytest.raises(libvirt.libvirtError), quiesce.frozen(found_as(again), lost):
        raise AssertionError("nothing is copied")
    assert (lost.asked, again.asked) == (["freeze"], ["thaw"])


def test_what_stays_frozen_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quiesce, "_THAW_S", 0.0)
    with pytest.raises(CloudError, match="may still be frozen") as raised:
        hold(Domain(thaw=99))
    assert "Reboot" in raised.value.hint
