"""The images that the local cluster's pods run: each a tar that containerd imports, cached by what it is made of."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from devcluster import pyruntime
from devcluster.build import ensure, locked
from devcluster.oci import Entry, Image, base_entries, digest_of, key_of, reference, write_image, write_layer
from devcluster.programs import NODE, STACK
from devcluster.progress import Progress
from devcluster.toolchain import cache_folder

STACK_PROGRAMS: Final = (
    "prometheus",
    "thanos",
    "prometheus-operator",
    "prometheus-config-reloader",
    "kube-rbac-proxy",
)
OPERATOR: Final = "monitoring-tls-operator"


def image_tar(image: Image, entries: Sequence[Entry]) -> Path:
    """An image of one layer as a tar for ``ctr images import``, made where the cache folder has none like it."""
    contents = [*base_entries(), *entries]
    target = _cached(image.name, key_of(image, [digest_of(contents)]))
    if not target.exists():
        with tempfile.TemporaryDirectory(prefix="layer-", dir=_folder()) as scratch:
            layer = Path(scratch) / "layer.tar"
            write_layer(contents, layer)
            write_image(image, [layer], target)
    return target


def program_image(name: str, executable: Path) -> Path:
    """The image of one static program, which is its entry point."""
    path = f"bin/{name}"
    entries = [Entry("bin", mode=0o755), Entry(path, executable, 0o755)]
    return image_tar(Image(name, (f"/{path}",)), entries)


def node_images(progress: Progress | None = None) -> dict[str, Path]:
    """The image that every pod's sandbox runs, to be imported before the kubelet starts.

    Returns:
        Reference, as in a pod's ``image`` field, to the tar.
    """
    return {reference("pause"): program_image("pause", ensure({NODE}, progress)["pause"])}


def stack_images(progress: Progress | None = None) -> dict[str, Path]:
    """The images of the demo's monitoring stack.

    Returns:
        Reference, as in a pod's ``image`` field, to the tar.
    """
    programs = ensure({STACK}, progress)
    return {reference(name): program_image(name, programs[name]) for name in STACK_PROGRAMS}


def operator_image(project: Path, progress: Progress | None = None) -> dict[str, Path]:
    """The image of the operator, from the project's sources as they are now.

    The runtime with its dependencies is a layer of its own, made again only when the lock file or the interpreter
    changes; a change of the sources costs about a second.

    Args:
        project: The project's folder.
        progress: Where the work is shown; by default standard error.

    Returns:
        Reference, as in a pod's ``image`` field, to the tar.

    Raises:
        DevClusterError: The dependencies could not be installed.
    """
    shown = progress or Progress()
    image = Image(OPERATOR, pyruntime.entrypoint(), pyruntime.environment())
    keys = [pyruntime.runtime_key(project), pyruntime.application_key(project)]
    target = _cached(OPERATOR, key_of(image, keys))
    if not target.exists():
        lock = cache_folder() / "locks" / f"{OPERATOR}-image.lock"
        with locked(lock, lambda: shown.say("Waiting: the operator's image is being made by another process")):
            runtime = _runtime_layer(project, keys[0], shown)
            with tempfile.TemporaryDirectory(prefix="operator-", dir=_folder()) as scratch:
                application = Path(scratch) / "application.tar"
                write_layer(pyruntime.application_entries(project, Path(scratch) / "tree"), application)
                write_image(image, [runtime, application], target)
            _remove_older(target)
    return {reference(OPERATOR): target}


def _runtime_layer(project: Path, key: str, progress: Progress) -> Path:
    layer = _folder() / f"python-runtime-{key}.layer.tar"
    if not layer.exists():
        with (
            progress.step("Putting together the operator's Python runtime") as step,
            tempfile.TemporaryDirectory(prefix="runtime-", dir=_folder()) as scratch,
        ):
            step.update("installing dependencies and compiling")
            entries = pyruntime.runtime_entries(project, Path(scratch))
            step.update("writing the layer")
            write_layer([*base_entries(), *entries], layer)
    return layer


def _folder() -> Path:
    folder = cache_folder() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _cached(name: str, key: str) -> Path:
    return _folder() / f"{name}-{key}.tar"


def _remove_older(target: Path) -> None:
    # Each change of the sources makes an image of some 100 MB: the newest few are enough for several clones.
    images = sorted(target.parent.glob(f"{OPERATOR}-*.tar"), key=lambda path: path.stat().st_mtime, reverse=True)
    for image in images[4:]:
        image.unlink(missing_ok=True)
