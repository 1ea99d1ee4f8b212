import copy
import logging
import pickle
import traceback
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, x25519

from monitoring_tls.errors import GarbledKeyError
from monitoring_tls.model.certificate import KeyAlgorithm
from monitoring_tls.pki.domain import create
from monitoring_tls.pki.keys import PrivateKey, SystemEntropy, parse_private_key
from tests.pki_support import NOW, PooledEntropy, domain, pooled_key, secrets_of

P256, P384, P521 = KeyAlgorithm.ECDSA_P256, KeyAlgorithm.ECDSA_P384, KeyAlgorithm.ECDSA_P521
RSA = KeyAlgorithm.RSA_2048


def _pem(
    key: PrivateKey,
    form: serialization.PrivateFormat,
    encryption: serialization.KeySerializationEncryption | None = None,
) -> bytes:
    wanted = encryption or serialization.NoEncryption()
    return key._key.private_bytes(serialization.Encoding.PEM, form, wanted)


@pytest.mark.parametrize("algorithm", [P256, P384, P521, RSA])
def test_new_keys_are_of_the_type_asked_for(algorithm: KeyAlgorithm) -> None:
    assert pooled_key(algorithm, 0).algorithm == algorithm


@pytest.mark.parametrize("algorithm", [P256, RSA])
@pytest.mark.parametrize("form", [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL])
def test_every_pem_form_is_read(algorithm: KeyAlgorithm, form: serialization.PrivateFormat) -> None:
    key = pooled_key(algorithm, 0)
    pem = _pem(key, form)
    expected = {
        (P256, serialization.PrivateFormat.TraditionalOpenSSL): b"-----BEGIN EC PRIVATE KEY-----",
        (RSA, serialization.PrivateFormat.TraditionalOpenSSL): b"-----BEGIN RSA PRIVATE KEY-----",
    }.get((algorithm, form), b"-----BEGIN PRIVATE KEY-----")
    assert pem.startswith(expected)
    read = parse_private_key(pem)
    assert read == key
    assert read.spki == key.spki
    assert read.pem() == key.pem()


def test_pem_is_pkcs8() -> None:
    assert pooled_key(RSA, 0).pem().startswith(b"-----BEGIN PRIVATE KEY-----\n")


def test_keys_differ_by_their_public_half() -> None:
    one, other = pooled_key(P256, 0), pooled_key(P256, 1)
    assert one != other
    assert one.spki != other.spki
    assert len({one, other, parse_private_key(one.pem())}) == 2
    assert one != one.spki


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (ed25519.Ed25519PrivateKey.generate, "Ed25519"),
        (ed448.Ed448PrivateKey.generate, "Ed448"),
        (lambda: ec.generate_private_key(ec.SECP256K1()), "ECDSA-secp256k1"),
        (lambda: dsa.generate_private_key(2048), "DSA-2048"),
    ],
)
def test_unusual_types_are_named(make: Callable[[], ed25519.Ed25519PrivateKey], name: str) -> None:
    key = PrivateKey(make())
    assert key.algorithm == name
    assert parse_private_key(key.pem()).algorithm == name


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\x00 nothing",
        b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0LWJ5dGVz\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN EC PRIVATE KEY-----\nsecret-bytes\n",
    ],
)
def test_garbled_keys_are_refused_without_quoting_them(content: bytes) -> None:
    with pytest.raises(GarbledKeyError) as caught:
        parse_private_key(content)
    shown = "".join(traceback.format_exception(caught.value))
    assert "secret-bytes" not in shown
    assert "c2VjcmV0" not in shown


def test_an_encrypted_key_is_refused() -> None:
    pem = _pem(
        pooled_key(P256, 0), serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"passphrase")
    )
    with pytest.raises(GarbledKeyError, match="encrypted"):
        parse_private_key(pem)


def test_a_key_that_cannot_sign_is_refused() -> None:
    pem = x25519.X25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(GarbledKeyError, match="signs no certificates"):
        parse_private_key(pem)


@pytest.mark.parametrize("algorithm", [P256, RSA])
def test_no_text_form_shows_the_key(algorithm: KeyAlgorithm) -> None:
    key = pooled_key(algorithm, 0)
    forms = [repr(key), str(key), f"{key}", format(key), "%s %r" % (key, key), ascii(key)]  # noqa: UP031 - one way of formatting among all
    for form in forms:
        assert key.algorithm in form
        assert key.spki[:16] in form
        assert not any(secret in form for secret in secrets_of(key))


def test_the_search_would_find_a_leak() -> None:
    key = pooled_key(P256, 0)
    assert any(secret in key.pem().decode() for secret in secrets_of(key))
    private = key._key
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    assert any(secret in f"{private.private_numbers().private_value:x}" for secret in secrets_of(key))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_is_refused(protocol: int) -> None:
    with pytest.raises(TypeError, match="not copied or pickled"):
        pickle.dumps(pooled_key(P256, 0), protocol)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_copying_is_refused(copied: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="not copied or pickled"):
        copied(pooled_key(P256, 0))


def test_there_is_no_dict_to_look_into() -> None:
    with pytest.raises(TypeError):
        vars(pooled_key(P256, 0))


def test_a_traceback_with_locals_shows_no_key() -> None:
    key, entropy = pooled_key(RSA, 0), PooledEntropy()
    material = create(domain(), NOW, entropy)
    keys = [key, material.ca_key, *(leaf.key for leaf in material.leaves.values())]

    def fails(_held: PrivateKey, _all: object) -> None:
        raise RuntimeError("on purpose")

    try:
        fails(key, material)
    except RuntimeError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "PrivateKey RSA-2048" in shown
    assert "Material(" in shown
    assert not any(secret in shown for secret in secrets_of(*keys))


def test_a_log_line_shows_no_key(caplog: pytest.LogCaptureFixture) -> None:
    material = create(domain(), NOW, PooledEntropy())
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("wrote %s with %r", material, material.ca_key)
    keys = [material.ca_key, *(leaf.key for leaf in material.leaves.values())]
    assert "PrivateKey" in caplog.text
    assert not any(secret in caplog.text for secret in secrets_of(*keys))


def test_system_entropy() -> None:
    entropy = SystemEntropy()
    serials = {entropy.serial() for _ in range(100)}
    assert len(serials) == 100
    assert all(0 < serial < 1 << 159 for serial in serials)
    assert entropy.key(P256) != entropy.key(P256)
