"""Images: Glance's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, ClassVar
from urllib.parse import quote

from cloudkit.errors import InvalidRequest, ResourceFailed, Unavailable
from cloudkit.types import FrozenMap, Image, ImageSpec, ImageStatus, Kind, Visibility
from cloudkit_openstack import marks
from cloudkit_openstack.collection import Narrowing, RestCollection, exactly, with_native
from cloudkit_openstack.errors import DRIVER, translate
from cloudkit_openstack.service import Service
from cloudkit_openstack.wire import WIDEST, Body, created_at, status_of, time_of

PIECE_BYTES = 1 << 20
PATCH = "application/openstack-images-v2.1-json-patch"

_OWN = frozenset(
    {
        "id", "name", "status", "visibility", "size", "virtual_size", "disk_format", "container_format", "created_at",
        "updated_at", "tags", "protected", "os_hidden", "owner", "min_disk", "min_ram", "checksum", "os_hash_algo",
        "os_hash_value", "self", "file", "schema", "direct_url", "locations", "stores", "description",
    }
)  # fmt: skip
"""Attributes of an image that are no properties (image API reference, "Show image")."""

_NOVAS = frozenset(
    {
        "base_image_ref", "bdm_v2", "block_device_mapping", "boot_roles", "clean_attempts", "image_location",
        "image_state", "image_type", "instance_uuid", "mappings", "owner_id", "owner_project_name",
        "owner_user_name", "root_device_name", "user_id",
    }
)  # fmt: skip
"""Properties that Nova gives an image of a server, beside those of the image that the server was made from."""

_NAMES = {"min_disk_gib": "min_disk", "min_ram_mib": "min_ram"}
_HIDDEN = ("os_glance_", "os_hash_", "hw_", marks.PREFIX)


def _name(name: str) -> tuple[str, Any] | None:
    # "in:a,b" would be a list of names; to a wider character Glance answers 500.
    return None if name.startswith("in:") or max(name, default="") > WIDEST else ("name", name)


class Images(RestCollection[Image]):
    """Disk images."""

    kind = Kind.IMAGE
    path = "/images"
    one, many = "image", "images"
    narrowing: ClassVar[Narrowing] = {
        "name": _name,
        "status": lambda status: None if status is ImageStatus.UNKNOWN else ("status", status),
        "visibility": exactly("visibility"),
    }

    @property
    def _service(self) -> Service:
        return self._context.image

    def body(self, id: str) -> Body:
        """Glance's description, which has no envelope."""
        return self._service.get(self._at(id))

    def _is_for_all(self, value: Image) -> bool:
        return value.visibility in (Visibility.PUBLIC, Visibility.COMMUNITY)

    # ---------------------------------------------------------------- bytes

    def create(self, spec: ImageSpec, data: BinaryIO, size_bytes: int | None) -> Image:
        """Register it, send the bytes, and compare the checksums; what fails leaves nothing."""
        request: Body = {
            # Chosen here, so that a second request of the same cannot make another one.
            "id": spec.mark.request,
            "name": spec.name,
            "disk_format": spec.disk_format,
            "container_format": spec.container_format,
            "min_disk": spec.min_disk_gib,
            "min_ram": spec.min_ram_mib,
            "visibility": spec.visibility.value,
            "protected": spec.protected,
            "tags": list(spec.tags),
            **spec.metadata,
            **marks.to_metadata(spec.mark),
        }
        if spec.description:
            request["description"] = spec.description
        id: str = self._service.post(self.path, with_native(request, spec.native))["id"]
        try:
            return self._fill(id, data, size_bytes)
        except BaseException:
            self._discard(id)
            raise

    def download(self, id: str) -> Iterator[bytes]:
        """The bytes, in pieces as they come."""
        if self._project.is_admin:
            self.get(id)
        answer = self._service.request(
            "GET", self._at(id, "file"), stream=True, headers={"Accept": "application/octet-stream"}
        )
        if answer.status_code == 204:
            raise InvalidRequest("the image has no bytes yet", driver=DRIVER, resource=id)
        return _pieces(answer)

    def _fill(self, id: str, data: BinaryIO, size_bytes: int | None) -> Image:
        source = _Source(data) if size_bytes is None else _SizedSource(data, size_bytes)
        headers = {"Content-Type": "application/octet-stream"}
        # The bytes can be read once: a token that expires now must not have them sent again, from where they are.
        self._service.request("PUT", self._at(id, "file"), data=source, headers=headers, allow_reauth=False)
        image = self.get(id)
        algorithm, _, digest = (image.checksum or "").partition(":")
        if algorithm == source.digest.name and digest != source.digest.hexdigest():
            raise ResourceFailed(
                f"the image {image.name!r} arrived damaged", driver=DRIVER, resource=image, hint="Upload it again."
            )
        return image

    def _discard(self, id: str) -> None:
        self._patch(id, [{"op": "replace", "path": "/protected", "value": False}])
        self._service.delete(self._at(id))

    # ---------------------------------------------------------------- changing

    def update(self, id: str, changes: Mapping[str, Any]) -> Image:
        """Change attributes; metadata and tags as a whole."""
        self._own(id)
        patch: list[Body] = []
        for name, value in changes.items():
            if name == "tags":
                patch.append(_put(name, list(value)))
            elif name == "metadata":
                patch += _properties(self.body(id), value)
            else:
                patch.append(_put(_NAMES.get(name, name), value))
        return self._one_value(self._patch(id, patch))

    def finish_server_image(self, id: str, tags: tuple[str, ...]) -> Image:
        """The image that Nova has begun to make of a server, with its tags."""
        try:
            for tag in tags:
                self._service.request("PUT", self._at(id, "tags", quote(tag, safe="")))
            return self.get(id)
        except BaseException:
            self._service.delete(self._at(id))
            raise

    def _patch(self, id: str, patch: Sequence[Body]) -> Body:
        answer = self._service.request("PATCH", self._at(id), body=patch, headers={"Content-Type": PATCH})
        return self._service.read(answer)

    # ---------------------------------------------------------------- values

    def _values(self, bodies: Sequence[Body]) -> Iterable[Image]:
        return map(self._value, bodies)

    def _value(self, body: Body) -> Image:
        algorithm, digest = body.get("os_hash_algo"), body.get("os_hash_value")
        if not digest and body.get("checksum"):
            algorithm, digest = "md5", body["checksum"]
        return Image(
            id=body["id"],
            name=body.get("name") or "",
            project_id=body.get("owner") or "",
            cloud_id=self._project.cloud_id,
            created_at=created_at(body),
            updated_at=time_of(body.get("updated_at")),
            description=body.get("description") or "",
            mark=marks.of_metadata(body),
            status=status_of(ImageStatus, body["status"]),
            native_status=body["status"],
            disk_format=body.get("disk_format") or "",
            container_format=body.get("container_format") or "",
            size_bytes=body.get("size"),
            virtual_size_bytes=body.get("virtual_size"),
            checksum=f"{algorithm}:{digest}" if digest else None,
            min_disk_gib=body.get("min_disk") or 0,
            min_ram_mib=body.get("min_ram") or 0,
            visibility=Visibility(body["visibility"]),
            protected=bool(body.get("protected")),
            server_id=body.get("instance_uuid"),
            metadata=FrozenMap({key: body[key] for key in _users(body)}),
            tags=tuple(body.get("tags") or ()),
        )


class _Source:
    """The bytes of an upload as requests wants them: read once, and counted into a checksum."""

    def __init__(self, data: BinaryIO) -> None:
        self._data = data
        self.digest = hashlib.sha512()

    def __iter__(self) -> Iterator[bytes]:
        while piece := self._data.read(PIECE_BYTES):
            self.digest.update(piece)
            yield piece


class _SizedSource(_Source):
    """The same with a length, which requests announces; else they go in chunks."""

    def __init__(self, data: BinaryIO, size_bytes: int) -> None:
        super().__init__(data)
        self._size_bytes = size_bytes

    def __len__(self) -> int:
        return self._size_bytes

    def __iter__(self) -> Iterator[bytes]:
        left = self._size_bytes
        for piece in super().__iter__():
            left -= len(piece)
            if left < 0:
                break
            yield piece
        if left:
            # Glance would wait for the rest.
            raise InvalidRequest(f"{self._size_bytes} bytes were announced, and others came", driver=DRIVER)


def _pieces(answer: Any) -> Iterator[bytes]:
    try:
        yield from answer.iter_content(PIECE_BYTES)
    except Exception as error:
        raise Unavailable("the image's bytes ended too early", driver=DRIVER, fault=str(translate(error))) from error
    finally:
        answer.close()


def _users(body: Body) -> Iterator[str]:
    """The properties that are the user's."""
    of_server = "instance_uuid" in body
    for name in body:
        if name in _OWN or name.startswith((marks.PREFIX, "os_glance_")):
            continue
        if of_server and (name in _NOVAS or name.startswith(_HIDDEN)):
            continue
        yield name


def _properties(body: Body, wanted: Mapping[str, str]) -> Iterator[Body]:
    """What makes the user's properties the wanted ones."""
    for name in _users(body):
        if name not in wanted:
            yield {"op": "remove", "path": _pointer(name)}
    for name, value in wanted.items():
        yield _put(name, value)


def _put(name: str, value: Any) -> Body:
    return {"op": "add", "path": _pointer(name), "value": value}


def _pointer(name: str) -> str:
    """A JSON pointer (RFC 6901)."""
    return "/" + name.replace("~", "~0").replace("/", "~1")
