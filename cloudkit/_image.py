"""Images: uploaded, downloaded, described."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Unpack, cast

from cloudkit import _checks as checks
from cloudkit._collection import Creation, Ref
from cloudkit._context import Verb
from cloudkit._image_sharing import SharedImages
from cloudkit._image_source import OnBytes, Source, checked_checksum, open_source
from cloudkit._suggest import suggest
from cloudkit.driver import Download, Upload
from cloudkit.errors import CloudError, InvalidRequest, ResourceFailed
from cloudkit.types import FrozenMap, Image, ImageSpec, ImageStatus, Kind, Visibility

DISK_FORMATS = ("ami", "ari", "aki", "iso", "ploop", "qcow2", "raw", "vdi", "vhd", "vhdx", "vmdk")
CONTAINER_FORMATS = ("aki", "ami", "ari", "bare", "compressed", "docker", "ova", "ovf")
"""Glance's (image service, "Disk and container formats")."""

FIRMWARES = ("bios", "uefi")
"""What Nova knows as an image's property ``hw_firmware_type``."""

_DOWNLOADABLE = "images.download"


class ImageOptions(Creation, total=False):
    """What an image can be given, however its bytes come.

    Attributes:
        disk_format: as "qcow2" or "raw"; None: told from the first bytes.
        protected: refuse to delete it until it is updated to False.
        metadata: Glance's properties; ``hw_firmware_type`` "uefi" lets its servers boot by UEFI and not by BIOS.
    """

    disk_format: str | None
    container_format: str
    min_disk_gib: int
    min_ram_mib: int
    visibility: str
    protected: bool
    metadata: Mapping[str, str] | None
    tags: Iterable[str]
    description: str
    native: Mapping[str, Any] | None


class Images(SharedImages):
    """Disk images that servers boot from."""

    kind = Kind.IMAGE
    _service = "image"
    _create_capability = "images.create"
    _ready = frozenset({ImageStatus.ACTIVE})
    _broken = frozenset(
        {ImageStatus.KILLED, ImageStatus.DELETED, ImageStatus.PENDING_DELETE, ImageStatus.DEACTIVATED}
    )
    _timeout_s = 1800.0

    def upload(
        self,
        name: str,
        *,
        path: str | os.PathLike[str] | None = None,
        data: bytes | BinaryIO | None = None,
        checksum: str | None = None,
        on_bytes: OnBytes | None = None,
        **options: Unpack[ImageOptions],
    ) -> Image:
        """Make an image of a file's bytes; returns when it is active.

        Args:
            path: the file; or ``data``: bytes, or a binary file that is read to its end.
            checksum: what the bytes must have, as ``"sha256:<hex>"`` or ``"sha512:<hex>"``.
            on_bytes: called with the bytes that were read so far, and their total where it is known.
            options: see :class:`ImageOptions`.

        Raises:
            InvalidRequest: there is no such file, its bytes are not ``disk_format`` or do not have the checksum, or
                the header asks for what is never allowed, as a backing file. Nothing is left behind.
        """
        with Verb(self._context, "images.upload", name):
            self._require_create()
            fields, how = self._checked_options(name, options)
            with open_source(path, data, on_bytes, checked_checksum(checksum)) as source:
                return self._upload(source, fields, how)

    def import_from_url(
        self,
        name: str,
        url: str,
        *,
        checksum: str | None = None,
        max_gib: int = 64,
        on_bytes: OnBytes | None = None,
        **options: Unpack[ImageOptions],
    ) -> Image:
        """Make an image of what a URL gives; returns when it is active.

        This machine fetches it, into the user's cache folder. What is there of an earlier try is not fetched again,
        if the server can tell that it is still the same; a broken connection is taken up again.

        Args:
            url: https, with its certificate checked; or http, then with a ``checksum``.
            checksum: as of :meth:`upload`.
            max_gib: refuse more than this.
            on_bytes: called with the bytes that are here so far, and their total where it is known.
            options: see :class:`ImageOptions`.

        Raises:
            InvalidRequest: as of :meth:`upload`; or the URL is of another kind, leads to one, or gives too much.
            NotFound: there is nothing at this URL.
            PermissionDenied: the server does not give it to everybody.
            Unavailable: the server does not answer; what has come is kept for the next try.
        """
        with Verb(self._context, "images.import_from_url", name):
            self._require_create()
            fields, how = self._checked_options(name, options)
            expected = checked_checksum(checksum)
            limit = checks.integer(max_gib, "max_gib", 1, checks.MAX_GIB) << 30
            from cloudkit._image_fetch import Fetch

            fetch = Fetch(url, limit_bytes=limit, has_checksum=expected is not None, on_bytes=on_bytes)
            with fetch as path, open_source(path, None, None, expected) as source:
                return self._upload(source, fields, how)

    def _checked_options(self, name: str, options: ImageOptions) -> tuple[dict[str, Any], Creation]:
        """The fields of the spec, checked but for the format; and how the create is to be seen through."""
        known = ImageOptions.__annotations__
        if unknown := options.keys() - known.keys():
            name = min(unknown)
            raise TypeError(f"{name!r} is no option of an image; {suggest(name, known)}")
        how = {key: value for key, value in options.items() if key in Creation.__annotations__}
        get = options.get
        fields = self._common(name, get("description", ""), get("native")) | {
            "disk_format": get("disk_format"),
            "container_format": checks.one_of(get("container_format", "bare"), CONTAINER_FORMATS, "container_format"),
            "min_disk_gib": checks.integer(get("min_disk_gib", 0), "min_disk_gib", 0, checks.MAX_GIB),
            "min_ram_mib": checks.integer(get("min_ram_mib", 0), "min_ram_mib", 0, checks.MAX_MIB),
            "visibility": checks.choice(get("visibility", Visibility.PRIVATE), Visibility, "visibility"),
            "protected": checks.flag(get("protected", False), "protected"),
            "metadata": _metadata(get("metadata")),
            "tags": checks.tags(get("tags", ())),
        }
        return fields, cast(Creation, how)

    def _upload(self, source: Source, fields: dict[str, Any], how: Creation) -> Image:
        part: Upload = self._part
        bare = fields["container_format"] == "bare"
        fields["disk_format"] = source.checked_format(fields["disk_format"], DISK_FORMATS, bare)

        def send(spec: ImageSpec) -> Image:
            return part.create(spec, cast(BinaryIO, source), source.size_bytes)

        def finish(image: Image) -> Image:
            source.check_sent()
            return image

        try:
            return self._create(ImageSpec(**fields), send=send, finish=finish, **how)
        except CloudError:
            if source.error is not None:
                # The caller's own reader broke: that is what they want to see.
                raise source.error from None
            raise

    def update(self, ref: Ref, **changes: Any) -> Image:
        """Change its name, visibility, protected, min_disk_gib, min_ram_mib, metadata or tags (both as a whole)."""
        allowed: dict[str, Callable[[Any], Any]] = {
            "name": checks.name,
            "visibility": lambda value: checks.choice(value, Visibility, "visibility"),
            "protected": lambda value: checks.flag(value, "protected"),
            "min_disk_gib": lambda value: checks.integer(value, "min_disk_gib", 0, checks.MAX_GIB),
            "min_ram_mib": lambda value: checks.integer(value, "min_ram_mib", 0, checks.MAX_MIB),
            "metadata": _metadata,
            "tags": checks.tags,
        }
        return self._update(ref, changes, allowed)

    def download(
        self,
        ref: Ref,
        path: str | os.PathLike[str],
        *,
        on_bytes: OnBytes | None = None,
    ) -> Image:
        """Write the image's bytes to a file, which is replaced at once or not at all; returns the image.

        Raises:
            InvalidRequest: the file cannot be written.
            ResourceFailed: the bytes do not have the checksum that the image has.
        """
        with Verb(self._context, "images.download", ref):
            part: Download = self._offered(_DOWNLOADABLE)
            image = self._get(ref)
            place = Path(path).expanduser()
            partial = place.with_name(f"{place.name}.{secrets.token_hex(4)}.part")
            try:
                with partial.open("xb") as file:
                    self._fill(file, part, image, on_bytes)
                os.replace(partial, place)
            except BaseException as error:
                with suppress(OSError):
                    partial.unlink()
                if isinstance(error, OSError) and not isinstance(error, CloudError):
                    raise InvalidRequest(f"{place} cannot be written", fault=error.strerror or str(error)) from error
                raise
            return image

    def _fill(self, file: BinaryIO, part: Download, image: Image, on_bytes: OnBytes | None) -> None:
        algorithm, _, expected = (image.checksum or "").partition(":")
        digest = hashlib.new(algorithm) if algorithm in hashlib.algorithms_available else None
        pieces = self._context.call(part.download, image.id)
        count = 0
        while (piece := self._context.call(next, pieces, None)) is not None:
            file.write(piece)
            count += len(piece)
            if digest is not None:
                digest.update(piece)
            if on_bytes is not None:
                on_bytes(count, image.size_bytes)
        if digest is not None and digest.hexdigest() != expected:
            raise ResourceFailed(
                f"the bytes of the image {image.name!r} do not have its checksum", resource=image, hint="Try again."
            )


def _metadata(value: object) -> FrozenMap:
    """Metadata; what no server could boot by is refused before there is an image of it."""
    metadata = checks.metadata(value)
    if "hw_firmware_type" in metadata:
        checks.one_of(metadata["hw_firmware_type"], FIRMWARES, "metadata['hw_firmware_type']")
    return metadata
