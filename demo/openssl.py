"""OpenSSL's word on a pod's chain and names, where the command is there."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from demo.handshakes import GRPC_PORT, SERVER_NAME

_TIMEOUT: Final = 20.0


def available() -> bool:
    """Whether there is an ``openssl`` to ask."""
    return shutil.which("openssl") is not None


def s_client(address: str, bundle: str) -> tuple[bool, str]:
    """Connect to a pod's gRPC port, and let OpenSSL verify its chain and name, without a certificate of its own.

    Returns:
        Whether it verified, and what OpenSSL said.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".crt") as authority:
        authority.write(bundle)
        authority.flush()
        said = _run(
            *("s_client", "-connect", f"{address}:{GRPC_PORT}", "-servername", SERVER_NAME, "-alpn", "h2"),
            *("-CAfile", authority.name, "-verify_hostname", SERVER_NAME, "-verify_return_error"),
        )
    told = re.findall(r"Verification: OK|Verified peername: .*|Verify return code: \d+ \(.*\)|verify error.*", said)
    return "Verification: OK" in said and f"Verified peername: {SERVER_NAME}" in said, ", ".join(dict.fromkeys(told))


def verify(chain: str, bundle: str) -> tuple[bool, str]:
    """Let OpenSSL verify a Secret's server certificate by the Secret's own bundle.

    Args:
        chain: ``server.crt``: the leaf, and what is served with it.
        bundle: ``ca.crt``.

    Returns:
        Whether it verified, and what OpenSSL said.
    """
    with tempfile.TemporaryDirectory() as folder:
        served, authority = Path(folder, "server.crt"), Path(folder, "ca.crt")
        served.write_text(chain)
        authority.write_text(bundle)
        said = _run(
            *("verify", "-purpose", "sslserver", "-verify_hostname", SERVER_NAME),
            *("-CAfile", str(authority), "-untrusted", str(served), str(served)),
        )
    text = said.replace(f"{folder}/", "").strip()
    return text.endswith("OK"), text


def _run(*arguments: str) -> str:
    done = subprocess.run(
        ["openssl", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=_TIMEOUT
    )
    return done.stdout + done.stderr
