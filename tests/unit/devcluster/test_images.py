"""Images are reproducible, say how they are run, and are made again only when their contents change."""

import hashlib
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from devcluster import pyruntime
from devcluster.images import image_tar, program_image
from devcluster.oci import Entry, Image, digest_of, key_of, reference, write_image, write_layer

IMAGE = Image("tool", ("/bin/tool",))
ENTRIES = [Entry("bin", mode=0o755), Entry("bin/tool", b"content", 0o755), Entry("bin/link", link="tool")]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MONITORING_TLS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def blob(archive: tarfile.TarFile, digest: str) -> bytes:
    file = archive.extractfile(f"blobs/sha256/{digest.removeprefix('sha256:')}")
    assert file is not None
    content = file.read()
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == digest
    return content


def read(tar: Path) -> tuple[dict[str, object], dict[str, object], list[tarfile.TarInfo]]:
    """The index entry, the configuration and the layer's members, with every digest and size checked on the way."""
    with tarfile.open(tar) as archive:
        index_file = archive.extractfile("index.json")
        assert index_file is not None
        (listed,) = json.load(index_file)["manifests"]
        manifest = json.loads(blob(archive, listed["digest"]))
        config = json.loads(blob(archive, manifest["config"]["digest"]))
        members = []
        for layer, diff_id in zip(manifest["layers"], config["rootfs"]["diff_ids"], strict=True):
            assert layer["digest"] == diff_id
            content = blob(archive, layer["digest"])
            assert len(content) == layer["size"]
            path = tar.with_suffix(".layer")
            path.write_bytes(content)
            with tarfile.open(path) as opened:
                members += opened.getmembers()
    return listed, config, members


def test_the_same_contents_give_the_same_bytes(tmp_path: Path) -> None:
    results = []
    for name, entries in (("a", ENTRIES), ("b", list(reversed(ENTRIES)))):
        layer = tmp_path / f"{name}.layer"
        write_layer(entries, layer)
        write_image(IMAGE, [layer], tmp_path / name)
        results.append((tmp_path / name).read_bytes())
    assert results[0] == results[1]


def test_an_image_says_how_it_is_run(tmp_path: Path) -> None:
    executable = tmp_path / "built"
    executable.write_bytes(b"program")
    listed, config, members = read(program_image("tool", executable))
    assert listed["annotations"]["io.containerd.image.name"] == "localhost/tool:1"  # type: ignore[index]  # JSON
    assert config["config"] == {"User": "65534:65534", "Entrypoint": ["/bin/tool"], "Env": ["PATH=/bin"]}
    found = {member.name: member for member in members}
    assert found["bin/tool"].mode == 0o755
    assert found["tmp"].mode == 0o1777
    assert found["tmp"].isdir()
    assert found["etc/passwd"].mode == 0o644
    assert {(member.mtime, member.uid, member.gid) for member in members} == {(0, 0, 0)}


def test_an_image_is_made_again_only_when_its_contents_change(tmp_path: Path) -> None:
    executable = tmp_path / "built"
    executable.write_bytes(b"program")
    first = program_image("tool", executable)
    made = first.stat().st_mtime_ns
    assert program_image("tool", executable) == first
    assert first.stat().st_mtime_ns == made
    executable.write_bytes(b"changed")
    assert program_image("tool", executable) != first


@pytest.mark.parametrize(
    "changed",
    [
        replace(IMAGE, entrypoint=("/bin/tool", "run")),
        replace(IMAGE, environment=(("PATH", "/"),)),
        replace(IMAGE, user="0:0"),
        replace(IMAGE, name="other"),
    ],
)
def test_the_key_changes_with_the_configuration(changed: Image) -> None:
    assert key_of(changed, ["layer"]) != key_of(IMAGE, ["layer"])


@pytest.mark.parametrize(
    "changed",
    [
        Entry("bin/tool", b"other", 0o755),
        Entry("bin/tool", b"content", 0o644),
        Entry("bin/other", b"content", 0o755),
        Entry("bin/tool", None, 0o755),
        Entry("bin/tool", b"content", 0o755, "elsewhere"),
    ],
)
def test_the_digest_changes_with_each_property_of_an_entry(changed: Entry) -> None:
    assert digest_of([changed]) != digest_of([ENTRIES[1]])


def test_the_digest_of_a_file_is_that_of_its_content(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")
    assert digest_of([Entry("bin/tool", file, 0o755)]) == digest_of([ENTRIES[1]])


def test_a_failed_image_leaves_no_file(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        image_tar(IMAGE, [Entry("bin/tool", tmp_path / "missing")])
    with pytest.raises(FileNotFoundError):
        write_layer([Entry("bin/tool", tmp_path / "missing")], tmp_path / "layer.tar")
    assert not list(tmp_path.glob("layer*"))
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_images_are_never_latest() -> None:
    assert not reference("tool").endswith(":latest")
    assert ":" in reference("tool")


LDD = """\
/x/bin/python3.11:
\tlinux-vdso.so.1 (0x00007ffd)
\tlibpython3.11.so.1.0 => /x/lib/libpython3.11.so.1.0 (0x00007f01)
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f02)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f03)
/x/lib/other.so:
\tlibmissing.so => not found
\tstatically linked
"""


def test_libraries_are_read_from_ldd() -> None:
    assert pyruntime.parse_ldd(LDD) == {
        "libpython3.11.so.1.0": Path("/x/lib/libpython3.11.so.1.0"),
        "libc.so.6": Path("/lib/x86_64-linux-gnu/libc.so.6"),
        "/lib64/ld-linux-x86-64.so.2": Path("/lib64/ld-linux-x86-64.so.2"),
    }


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    package = root / "src" / "monitoring_tls" / "catalogue"
    package.mkdir(parents=True)
    (root / "uv.lock").write_text("version = 1\n")
    (root / "pyproject.toml").write_text('[project]\nname = "monitoring-tls-operator"\nversion = "1.2.3"\n')
    (package.parent / "__init__.py").write_text("VALUE = 1\n")
    (package / "data.yaml").write_text("a: 1\n")
    return root


def test_the_operators_layer_has_sources_data_compiled_files_and_metadata(project: Path, tmp_path: Path) -> None:
    entries = {entry.path: entry for entry in pyruntime.application_entries(project, tmp_path / "staging")}
    base = "opt/application/monitoring_tls"
    assert f"{base}/__init__.py" in entries
    assert f"{base}/catalogue/data.yaml" in entries
    compiled = next(entry for path, entry in entries.items() if path.startswith(f"{base}/__pycache__/__init__."))
    assert isinstance(compiled.source, Path)
    # PEP 552: unchecked hash, so that the time of the source, which a layer does not keep, is not looked at.
    assert compiled.source.read_bytes()[4:8] == (1).to_bytes(4, "little")
    metadata = entries["opt/application/monitoring_tls_operator-1.2.3.dist-info/METADATA"].source
    assert isinstance(metadata, Path)
    assert "Version: 1.2.3" in metadata.read_text()


def test_the_operators_layer_is_reproducible(project: Path, tmp_path: Path) -> None:
    digests = {digest_of(pyruntime.application_entries(project, tmp_path / name)) for name in ("a", "b")}
    assert len(digests) == 1


def test_sources_change_the_applications_key_and_the_lock_file_the_runtimes(project: Path) -> None:
    application, runtime = pyruntime.application_key(project), pyruntime.runtime_key(project)
    (project / "src" / "monitoring_tls" / "catalogue" / "data.yaml").write_text("a: 2\n")
    assert pyruntime.application_key(project) != application
    assert pyruntime.runtime_key(project) == runtime
    (project / "uv.lock").write_text("version = 2\n")
    assert pyruntime.runtime_key(project) != runtime
