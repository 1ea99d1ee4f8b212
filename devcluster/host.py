"""What the machine itself contributes to the node: a C compiler with static libseccomp, or else a ready runc."""

import functools
import shutil
import subprocess
from pathlib import Path

from devcluster.errors import DevClusterError


@functools.cache
def links_seccomp() -> bool:
    """Whether a static program with libseccomp can be linked here, as runc is (it wants pkg-config to find it)."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler or not (shutil.which("pkg-config") or shutil.which("pkgconf")):
        return False
    source = "#include <seccomp.h>\nint main(void) { return seccomp_api_get() == 0; }\n"
    result = subprocess.run(
        [compiler, "-static", "-x", "c", "-", "-lseccomp", "-o", "/dev/null"],
        input=source,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode == 0


def system_runc() -> Path:
    """The machine's own runc.

    Raises:
        DevClusterError: It has none.
    """
    found = shutil.which("runc") or shutil.which("runc", path="/usr/sbin:/usr/local/sbin")
    if not found:
        raise DevClusterError(
            "runc can neither be built here nor found",
            "install a C compiler, pkg-config and static libseccomp (Debian: gcc pkg-config libseccomp-dev), or runc",
        )
    return Path(found)
