import base64
import json
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from tests.leaks import search

_EC = ec.generate_private_key(ec.SECP256R1()).private_bytes(
    Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
)
_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
)


def _number(pem: bytes) -> int:
    key = load_pem_private_key(pem, None)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.private_numbers().private_value
    assert isinstance(key, rsa.RSAPrivateKey)
    return key.private_numbers().p


def _coloned(number: int) -> str:
    text = f"{number:x}"
    text = text.rjust(len(text) + len(text) % 2, "0")
    return ":\n    ".join(text[at : at + 2] for at in range(0, len(text), 2))


def _body(pem: bytes) -> str:
    return "".join(pem.decode().splitlines()[1:-1])


_PLANTED: dict[str, Callable[[bytes], str]] = {
    "PEM": lambda pem: f"before {pem.decode()} after",
    "PEM in JSON": lambda pem: json.dumps({"key": pem.decode()}),
    "PEM in a repr": repr,
    "one line of the PEM": lambda pem: pem.decode().splitlines()[2],
    "its body in other lines": lambda pem: "\n".join(_body(pem)[at : at + 40] for at in range(0, len(_body(pem)), 40)),
    "base64 at offset 0": lambda pem: base64.b64encode(pem).decode(),
    "base64 at offset 1": lambda pem: base64.b64encode(b"x" + pem).decode(),
    "base64 at offset 2": lambda pem: base64.b64encode(b"xy" + pem).decode(),
    "base64 in lines": lambda pem: base64.encodebytes(pem).decode(),
    "URL-safe base64": lambda pem: base64.urlsafe_b64encode(pem).decode(),
    "base64 of the PEM's second line": lambda pem: base64.b64encode(b"x" + pem.splitlines()[2] + b"y").decode(),
    "hex": lambda pem: f"{_number(pem):x}",
    "upper-case hex": lambda pem: f"0x{_number(pem):064X}",
    "hex with colons": lambda pem: _coloned(_number(pem)),
    "decimal": lambda pem: f"private_value={_number(pem)},",
    "the number in base64": lambda pem: base64.urlsafe_b64encode(_number(pem).to_bytes(256, "big")).decode(),
}


@pytest.mark.parametrize("key", [_EC, _RSA], ids=["EC", "RSA"])
@pytest.mark.parametrize("form", _PLANTED)
def test_finds_a_planted_key(form: str, key: bytes) -> None:
    found = search({"clean": "nothing here", "log": f"noise {_PLANTED[form](key)} noise"}, [key])
    assert {leak.place for leak in found} == {"log"}


@pytest.mark.parametrize("form", ["PEM", "base64 at offset 0", "base64 at offset 1", "base64 at offset 2"])
@pytest.mark.parametrize("key", [_EC, _RSA], ids=["EC", "RSA"])
def test_finds_a_key_that_nobody_knew(form: str, key: bytes) -> None:
    assert search({"log": _PLANTED[form](key)})


def test_other_keys_and_certificates_are_no_leak() -> None:
    public = load_pem_private_key(_EC, None).public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    point = public.public_numbers()
    text = f"{point.x:x} {point.y} -----BEGIN CERTIFICATE----- {base64.b64encode(b'-----BEGIN CERTIFICATE-----')!r}"
    assert not search({"log": text}, [_EC, _RSA])


def test_a_finding_shows_nothing_of_the_key() -> None:
    found = search({"log": _EC.decode()}, [_EC])
    assert not search({"finding": repr(found)}, [_EC])
