"""The mark at the end of a text, and in metadata."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudkit import InvalidRequest
from cloudkit._scope_mark import new_scope
from cloudkit.types import Mark
from cloudkit_openstack import marks

marked = st.builds(
    Mark,
    request=st.uuids().map(str),
    scope=st.none()
    | st.text(st.characters(codec="utf-8"), min_size=1, max_size=64).map(lambda n: new_scope(n, 60).text),
)
texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)))


@given(texts, marked)
def test_text_and_mark_come_back(text: str, mark: Mark) -> None:
    assert marks.of_text(marks.to_text(text, mark, limit=10_000)) == (text, mark)


@given(texts.filter(lambda text: not text.endswith("]")))
def test_a_text_without_a_mark_is_the_users(text: str) -> None:
    assert marks.of_text(text) == (text, None)


@pytest.mark.parametrize(
    "text", ["[cloudkit:]", "a [cloudkit:short]", f"a[cloudkit:{'A' * 22}]", f"[cloudkit:{'A' * 22} two words]", "x]"]
)
def test_what_only_looks_like_a_mark_is_the_users(text: str) -> None:
    assert marks.of_text(text) == (text, None)


@given(st.dictionaries(st.text("ab:", min_size=1), st.text()), marked)
def test_metadata_and_mark_come_apart(metadata: dict[str, str], mark: Mark) -> None:
    both = {**metadata, **marks.to_metadata(mark), marks.HOST_KEY: "ssh-ed25519 SHA256:x"}
    assert marks.users_metadata(both) == metadata
    assert marks.of_metadata(both) == mark
    assert marks.our_metadata(both).keys() == both.keys() - metadata.keys()


def test_a_mark_leaves_room_in_neutrons_description() -> None:
    mark = Mark(request=str(uuid.uuid4()), scope=new_scope("conformance", 3600).text)
    room = marks.MAX_DESCRIPTION - len(marks.to_text("", mark)) - 1
    assert room >= 80
    assert len(marks.to_text("x" * room, mark)) == marks.MAX_DESCRIPTION
    with pytest.raises(InvalidRequest) as raised:
        marks.to_text("x" * (room + 1), mark)
    assert str(room) in raised.value.hint
