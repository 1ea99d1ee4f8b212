"""Looking for private keys where none may be: as PEM, as base64 of it, and as the numbers that they are.

Two kinds of search. Without knowing a key: the line with which every PEM of a private key begins, plain and in base64.
Of each known key: its secret numbers in every usual notation. Pure.
"""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

_KINDS = (b"", b"EC ", b"RSA ", b"ENCRYPTED ", b"OPENSSH ")
_HEADER = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_SPACE = re.compile(r"\\[nrt]|\s")
_SEPARATORS = re.compile(r"[:\s]|\\[nrt]|0x")
_LEAST = 16
"""Fewer characters than these could be there by chance."""


@dataclass(frozen=True)
class Leak:
    """A private key that was found: where and how, and never what."""

    place: str
    form: str


def search(texts: Mapping[str, str], keys: Iterable[bytes] = ()) -> list[Leak]:
    """Every leak in the texts.

    Args:
        texts: by the name of the place.
        keys: private keys in PEM, to be looked for by their numbers.
    """
    forms = dict(_header_forms())
    for number, pem in enumerate(sorted(set(keys))):
        forms |= {f"{form} of key {number}": needle for form, needle in _key_forms(pem)}
    return [Leak(place, form) for place, text in texts.items() for form in _found(text, forms)]


def _found(text: str, forms: Mapping[str, str]) -> Iterator[str]:
    if _HEADER.search(text):
        yield "PEM"
    packed = _SPACE.sub("", text)
    digits = _SEPARATORS.sub("", text).lower()
    for form, needle in forms.items():
        if needle in (digits if form.startswith("hex") else packed):
            yield form


def _header_forms() -> Iterator[tuple[str, str]]:
    for kind in _KINDS:
        line = b"-----BEGIN " + kind + b"PRIVATE KEY-----"
        for form, needle in _base64_forms(line):
            yield f"{form} of the PEM header {kind.decode()!r}", needle


def _key_forms(pem: bytes) -> Iterator[tuple[str, str]]:
    key = load_pem_private_key(pem, None)
    for name, number in _numbers(key):
        size = (number.bit_length() + 7) // 8
        yield f"hex, {name}", f"{number:x}"
        yield f"decimal, {name}", str(number)
        for form, needle in _base64_forms(number.to_bytes(size, "big")):
            yield f"{form}, {name}", needle
    again = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for number, line in enumerate({*pem.splitlines(), *again.splitlines()}):
        if line.startswith(b"-") or len(line) < _LEAST:
            continue
        yield f"line {number} of the PEM", line.decode()
        for form, needle in _base64_forms(line):
            yield f"{form} of line {number} of the PEM", needle


def _numbers(key: object) -> list[tuple[str, int]]:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return [("private value", key.private_numbers().private_value)]
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        return [("d", numbers.d), ("p", numbers.p), ("q", numbers.q)]
    raise TypeError(f"no numbers are known of {type(key).__name__}")


def _base64_forms(data: bytes) -> Iterator[tuple[str, str]]:
    """What every base64 of a text that holds `data` has in it, wherever in the text it begins, in both alphabets."""
    for offset in range(3):
        padded = b"\0" * offset + data
        encoded = base64.b64encode(padded).decode().rstrip("=")
        # Characters at both ends also depend on the neighbours.
        start, end = -(-offset * 8 // 6), len(padded) * 8 // 6
        inner = encoded[start:end]
        if len(inner) >= _LEAST:
            yield f"base64 at offset {offset}", inner
            yield f"URL-safe base64 at offset {offset}", inner.replace("+", "-").replace("/", "_")
