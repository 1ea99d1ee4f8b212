"""Container images as files: a tar in OCI layout that containerd imports, made without a registry or a builder.

The formats are those of the OCI image specification (https://github.com/opencontainers/image-spec): one layer is an
uncompressed tar, whose digest is therefore also its diff id. Everything that could differ from one run to the next
(times, owners, order) is fixed, so the same contents give the same bytes.
"""

import hashlib
import io
import json
import os
import platform
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ARCHITECTURES: Final[Mapping[str, str]] = {"x86_64": "amd64", "aarch64": "arm64"}
USER: Final = "65534:65534"  # nobody: pods with runAsNonRoot are admitted without naming a user themselves
_FORMAT: Final = "1"  # part of each key: to be raised when the same input is to give another image

_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_INDEX: Final = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, folder or symbolic link of a layer.

    Attributes:
        path: Where it lies in the image, without a leading slash.
        source: A file of the machine, the content itself, or None for a folder.
        mode: Permission bits.
        link: Where a symbolic link points to; ``source`` is then ignored.
    """

    path: str
    source: Path | bytes | None = None
    mode: int = 0o644
    link: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """What an image says about how it is run.

    Attributes:
        name: ``NAME`` of the reference ``localhost/NAME:1``.
        entrypoint: Command of the container.
        environment: Its variables.
        user: Its user and group.
    """

    name: str
    entrypoint: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = (("PATH", "/bin"),)
    user: str = USER


@dataclass(frozen=True, slots=True)
class _Blob:
    digest: str
    size: int

    def descriptor(self, media_type: str) -> dict[str, object]:
        return {"mediaType": media_type, "digest": f"sha256:{self.digest}", "size": self.size}


def reference(name: str) -> str:
    """The name under which pods ask for an image. Not ``latest``, which means to pull always, and that would fail."""
    return f"localhost/{name}:1"


def base_entries() -> list[Entry]:
    """What every image has: a place for temporary files, and the names of its users."""
    return [
        Entry("etc", mode=0o755),
        Entry("etc/passwd", b"root:x:0:0:root:/:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
        Entry("etc/group", b"root:x:0:\nnobody:x:65534:\n"),
        Entry("etc/nsswitch.conf", b"hosts: files dns\n"),
        Entry("tmp", mode=0o1777),
    ]


def key_of(image: Image, layers: Sequence[str], machine: str | None = None) -> str:
    """The key of an image: a digest of its configuration and of what identifies each layer's contents."""
    parts = [_FORMAT, machine or platform.machine(), image.name, image.entrypoint, image.environment, image.user]
    return hashlib.sha256(json.dumps([*parts, *layers]).encode()).hexdigest()[:16]


def digest_of(entries: Iterable[Entry]) -> str:
    """A digest of the contents of a layer, which costs reading them but not writing a tar."""
    digest = hashlib.sha256()
    for entry in sorted(entries, key=lambda entry: entry.path):
        if isinstance(entry.source, Path):
            with entry.source.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        else:
            content = "folder" if entry.source is None else hashlib.sha256(entry.source).hexdigest()
        digest.update(f"{entry.path}\0{entry.mode:o}\0{entry.link}\0{content}\n".encode())
    return digest.hexdigest()


def write_layer(entries: Iterable[Entry], target: Path) -> None:
    """Write a layer's tar, whole or not at all."""
    with _written_whole(target) as file, tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in sorted(entries, key=lambda entry: entry.path):
            _add(tar, entry)


def write_image(image: Image, layers: Sequence[Path], target: Path) -> None:
    """Write an image of ready layers as a tar in OCI layout, whole or not at all."""
    architecture = ARCHITECTURES.get(platform.machine(), platform.machine())
    described = [_blob_of(layer) for layer in layers]
    config = _encode(
        {
            "architecture": architecture,
            "os": "linux",
            "config": {
                "User": image.user,
                "Entrypoint": list(image.entrypoint),
                "Env": [f"{name}={value}" for name, value in image.environment],
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.digest}" for layer in described]},
        }
    )
    manifest = _encode(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _blob_of(config).descriptor(_CONFIG),
            "layers": [layer.descriptor(_LAYER) for layer in described],
        }
    )
    listed = _blob_of(manifest).descriptor(_MANIFEST) | {
        "platform": {"architecture": architecture, "os": "linux"},
        "annotations": {"io.containerd.image.name": reference(image.name), "org.opencontainers.image.ref.name": "1"},
    }
    blobs: dict[str, Path | bytes] = {_blob_of(config).digest: config, _blob_of(manifest).digest: manifest}
    blobs |= {blob.digest: layer for blob, layer in zip(described, layers, strict=True)}
    with _written_whole(target) as file, tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, Entry("oci-layout", _encode({"imageLayoutVersion": "1.0.0"})))
        _add(tar, Entry("index.json", _encode({"schemaVersion": 2, "mediaType": _INDEX, "manifests": [listed]})))
        for digest, content in sorted(blobs.items()):
            _add(tar, Entry(f"blobs/sha256/{digest}", content))


def _encode(value: Mapping[str, object]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _blob_of(content: Path | bytes) -> _Blob:
    if isinstance(content, bytes):
        return _Blob(hashlib.sha256(content).hexdigest(), len(content))
    with content.open("rb") as file:
        return _Blob(hashlib.file_digest(file, "sha256").hexdigest(), content.stat().st_size)


def _add(tar: tarfile.TarFile, entry: Entry) -> None:
    member = tarfile.TarInfo(entry.path)
    member.mode = entry.mode
    if entry.link:
        member.type = tarfile.SYMTYPE
        member.linkname = entry.link
        member.mode = 0o777
        tar.addfile(member)
    elif entry.source is None:
        member.type = tarfile.DIRTYPE
        tar.addfile(member)
    elif isinstance(entry.source, bytes):
        member.size = len(entry.source)
        tar.addfile(member, io.BytesIO(entry.source))
    else:
        member.size = entry.source.stat().st_size
        with entry.source.open("rb") as file:
            tar.addfile(member, file)


class _written_whole:  # noqa: N801  # a context manager, named as one
    """Opens a temporary file beside the target, and moves it there when the block ends without an error."""

    def __init__(self, target: Path) -> None:
        self._target = target
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f"{target.name}.", suffix=".partial", dir=target.parent)
        self._partial = Path(name)
        self._file = os.fdopen(handle, "w+b")

    def __enter__(self) -> io.BufferedRandom:
        return self._file

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._file.close()
        if kind is None:
            self._partial.chmod(0o644)
            self._partial.replace(self._target)
        else:
            with suppress(FileNotFoundError):
                self._partial.unlink()
