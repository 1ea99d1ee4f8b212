"""Private keys that cannot be shown by accident, and where new ones come from."""

import hashlib
from typing import NoReturn, Protocol, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
    CertificatePublicKeyTypes,
)

from monitoring_tls.errors import GarbledKeyError
from monitoring_tls.model.certificate import KeyAlgorithm

_CURVES: dict[KeyAlgorithm, ec.EllipticCurve] = {
    KeyAlgorithm.ECDSA_P256: ec.SECP256R1(),
    KeyAlgorithm.ECDSA_P384: ec.SECP384R1(),
    KeyAlgorithm.ECDSA_P521: ec.SECP521R1(),
}
_CURVE_NAMES = {"secp224r1": "P224", "secp256r1": "P256", "secp384r1": "P384", "secp521r1": "P521"}
_PUBLIC_EXPONENT = 65537


def spki_digest(der: bytes) -> str:
    """SHA-256 of a DER SubjectPublicKeyInfo, lower-case hex: names a key and tells nothing of its private half."""
    return hashlib.sha256(der).hexdigest()


def algorithm_name(key: CertificatePublicKeyTypes) -> str:
    """A public key's type and size, for instance ``ECDSA-P256``, ``RSA-2048`` or ``Ed25519``."""
    match key:
        case rsa.RSAPublicKey():
            return f"RSA-{key.key_size}"
        case ec.EllipticCurvePublicKey():
            return f"ECDSA-{_CURVE_NAMES.get(key.curve.name, key.curve.name)}"
        case dsa.DSAPublicKey():
            return f"DSA-{key.key_size}"
        case _:
            return type(key).__name__.removesuffix("PublicKey")


def public_der(key: CertificatePublicKeyTypes) -> bytes:
    """The DER SubjectPublicKeyInfo of a public key."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


class PrivateKey:
    """A private key whose every textual form shows only its algorithm and the digest of its public half.

    The material leaves it in two ways only: `pem`, for a Secret, and `sign`, as a signature. Two are equal where their
    public halves are.
    """

    __slots__ = ("_key", "algorithm", "spki")

    algorithm: str
    spki: str

    def __init__(self, key: CertificateIssuerPrivateKeyTypes) -> None:
        self._key = key
        public = key.public_key()
        self.algorithm = algorithm_name(public)
        self.spki = spki_digest(public_der(public))

    def __repr__(self) -> str:
        return f"<PrivateKey {self.algorithm} spki={self.spki[:16]}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PrivateKey) and self.spki == other.spki

    def __hash__(self) -> int:
        return hash(self.spki)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        # Pickling would put the key into a cache, a queue or a worker's pipe; copying goes the same way.
        raise TypeError("a private key is not copied or pickled")

    def public_key(self) -> CertificatePublicKeyTypes:
        """The public half."""
        return self._key.public_key()

    def pem(self) -> bytes:
        """The key itself, unencrypted PKCS#8 (RFC 5958) in PEM: for Secrets and TLS contexts, nothing else."""
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def sign(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        """Sign a certificate, with a hash as strong as the key (RFC 5480, 4: SHA-384 for P-384, SHA-512 for P-521)."""
        return builder.sign(self._key, self._hash())

    def _hash(self) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
        match self._key:
            case ed25519.Ed25519PrivateKey() | ed448.Ed448PrivateKey():
                return None
            case ec.EllipticCurvePrivateKey() if isinstance(self._key.curve, ec.SECP384R1):
                return hashes.SHA384()
            case ec.EllipticCurvePrivateKey() if isinstance(self._key.curve, ec.SECP521R1):
                return hashes.SHA512()
            case _:
                return hashes.SHA256()

    @classmethod
    def generate(cls, algorithm: KeyAlgorithm) -> Self:
        """A new key. RSA takes from a tenth of a second (2048) to minutes (8192)."""
        if algorithm in _CURVES:
            return cls(ec.generate_private_key(_CURVES[algorithm]))
        return cls(rsa.generate_private_key(_PUBLIC_EXPONENT, int(algorithm.removeprefix("RSA-"))))


def parse_private_key(pem: bytes) -> PrivateKey:
    """Read an unencrypted private key in PEM: PKCS#1 (``RSA PRIVATE KEY``), SEC1 (``EC PRIVATE KEY``) or PKCS#8.

    Raises:
        GarbledKeyError: it is none; the message holds nothing of the input.
    """
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError:
        raise GarbledKeyError("the private key is encrypted") from None
    except UnsupportedAlgorithm:
        raise GarbledKeyError("the private key is of a type that is not known") from None
    except ValueError:
        # The cause is dropped: its text is a library's, and may quote what it could not read.
        raise GarbledKeyError("not a private key in PEM (PKCS#1, SEC1 or PKCS#8)") from None
    if not isinstance(
        key,
        rsa.RSAPrivateKey
        | ec.EllipticCurvePrivateKey
        | ed25519.Ed25519PrivateKey
        | ed448.Ed448PrivateKey
        | dsa.DSAPrivateKey,
    ):
        raise GarbledKeyError("the private key is of a type that signs no certificates here")
    return PrivateKey(key)


class Entropy(Protocol):
    """Where new keys and serial numbers come from: passed in, so that tests choose."""

    def key(self, algorithm: KeyAlgorithm) -> PrivateKey:
        """A new private key."""
        ...

    def serial(self) -> int:
        """A new serial number: random, positive, at most 20 octets (RFC 5280, 4.1.2.2)."""
        ...


class SystemEntropy:
    """The operating system's randomness."""

    def key(self, algorithm: KeyAlgorithm) -> PrivateKey:
        """A new private key; see `PrivateKey.generate` for how long that takes."""
        return PrivateKey.generate(algorithm)

    def serial(self) -> int:
        """159 random bits."""
        return x509.random_serial_number()
