from dataclasses import replace
from datetime import timedelta

import pytest

from monitoring_tls.errors import GarbledCertificateError, GarbledKeyError, KeyMismatchError, PkiError
from monitoring_tls.model import annotations as names
from monitoring_tls.model.action import DomainStep, WriteDomain
from monitoring_tls.model.certificate import KeyAlgorithm, LeafUsage, Rotation, Stage
from monitoring_tls.pki.domain import (
    Material,
    apply,
    begin_both_trusted,
    begin_cross_signed,
    create,
    derived_data,
    issue_leaves,
    parse,
    probe_identity,
    render,
    renew_leaves,
    retire,
    salvage,
)
from monitoring_tls.pki.facts import parse_certificates
from monitoring_tls.pki.verify import verifies
from tests.pki_support import (
    CLIENT,
    NOW,
    SERVER,
    WORKING,
    Adopted,
    PooledEntropy,
    adopted_data,
    adopted_material,
    domain,
    permitted,
    pooled_key,
    secrets_of,
)

DOMAIN = domain()
LATER = NOW + timedelta(days=1)
NAMES = (CLIENT.name, SERVER.name)
STABLE_KEYS = {"ca.crt", "ca.key", *(f"{name}.{kind}" for name in NAMES for kind in ("crt", "key"))}
ROTATING_KEYS = STABLE_KEYS | {"previous-ca.crt", "previous-ca.key"}


@pytest.fixture
def entropy() -> PooledEntropy:
    return PooledEntropy()


@pytest.fixture
def stable(entropy: PooledEntropy) -> Material:
    return create(DOMAIN, NOW, entropy)


def _round_trip(material: Material) -> Material:
    return parse(*render(material, DOMAIN), DOMAIN)


def _fingerprints(material: Material) -> dict[str, str]:
    return {name: leaf.chain[0].fingerprint for name, leaf in material.leaves.items()}


def test_create_makes_everything(stable: Material) -> None:
    assert len(stable.bundle) == 1
    assert set(stable.leaves) == set(NAMES)
    assert stable.stage is Stage.STABLE
    assert stable.trust_since == stable.leaf_since == NOW
    assert stable.last_reason is None
    data, annotations = render(stable, DOMAIN)
    assert set(data) == STABLE_KEYS
    assert set(annotations) == {names.TRUST_SINCE, names.LEAF_SINCE}
    assert len({certificate.serial for leaf in stable.leaves.values() for certificate in leaf.chain}) == 2


def test_create_keeps_what_peers_still_trust(stable: Material, entropy: PooledEntropy) -> None:
    again = create(DOMAIN, LATER, entropy, "lost", stable.bundle)
    assert again.bundle[1:] == stable.bundle
    assert again.bundle[0].subject != stable.bundle[0].subject
    assert again.last_reason == "lost"
    assert retire(again, DOMAIN, LATER).bundle == again.bundle[:1]


@pytest.mark.parametrize("longer", [False, True])
def test_every_stage_survives_the_secret(stable: Material, entropy: PooledEntropy, longer: bool) -> None:  # noqa: FBT001 - a parameter of the test
    begin = begin_both_trusted if longer else begin_cross_signed
    begun = begin(stable, DOMAIN, 'why "not"', LATER, entropy)
    stages = [stable, begun, replace(begun, last_reason="other")]
    if longer:
        stages.append(issue_leaves(begun, DOMAIN, LATER, entropy))
    stages.append(retire(stages[-1], DOMAIN, LATER))
    for material in stages:
        assert _round_trip(material) == material


def test_cross_signed_rotation(stable: Material, entropy: PooledEntropy) -> None:
    begun = begin_cross_signed(stable, DOMAIN, "reason", LATER, entropy)
    assert begun.bundle[1:] == stable.bundle
    assert begun.bundle[0].spki == begun.ca_key.spki
    assert begun.previous is not None
    assert begun.previous.certificate == stable.bundle[0]
    assert begun.previous.key == stable.ca_key
    assert begun.cross is not None
    assert begun.rotation == Rotation(begun.bundle[0].fingerprint[:12], "reason", Stage.ROLLING, LATER)
    assert begun.trust_since == begun.leaf_since == LATER
    assert set(render(begun, DOMAIN)[0]) == ROTATING_KEYS | {"cross-ca.crt"}
    for leaf in begun.leaves.values():
        assert leaf.chain[0].issuer == begun.bundle[0].subject
        assert leaf.chain[1:] == (begun.cross,)
    finished = retire(begun, DOMAIN, LATER + timedelta(hours=1))
    assert finished.bundle == begun.bundle[:1]
    assert _fingerprints(finished) == _fingerprints(begun)
    assert all(len(leaf.chain) == 1 for leaf in finished.leaves.values())
    assert (finished.previous, finished.cross, finished.rotation) == (None, None, None)
    assert finished.last_reason == "reason"
    assert finished.retired_at == LATER + timedelta(hours=1)
    assert finished.trust_since == finished.leaf_since == LATER
    data, annotations = render(finished, DOMAIN)
    assert set(data) == STABLE_KEYS
    assert names.ROTATION not in annotations
    assert annotations[names.ROTATED_FOR] == "reason"


def test_longer_rotation(stable: Material, entropy: PooledEntropy) -> None:
    begun = begin_both_trusted(stable, DOMAIN, "reason", LATER, entropy)
    assert begun.bundle[1:] == stable.bundle
    assert begun.leaves == stable.leaves
    assert begun.cross is None
    assert begun.stage is Stage.INTRODUCED
    assert (begun.trust_since, begun.leaf_since) == (LATER, NOW)
    assert set(render(begun, DOMAIN)[0]) == ROTATING_KEYS
    issued = issue_leaves(begun, DOMAIN, LATER + timedelta(hours=1), entropy)
    assert issued.stage is Stage.ROLLING
    assert issued.bundle == begun.bundle
    assert (issued.trust_since, issued.leaf_since) == (LATER, LATER + timedelta(hours=1))
    for leaf in issued.leaves.values():
        assert leaf.chain[0].issuer == begun.bundle[0].subject
        assert len(leaf.chain) == 1
    finished = retire(issued, DOMAIN, LATER)
    assert finished.leaves == issued.leaves
    assert set(render(finished, DOMAIN)[0]) == STABLE_KEYS


def test_renewal_when_stable(stable: Material, entropy: PooledEntropy) -> None:
    renewed = renew_leaves(stable, DOMAIN, (SERVER.name,), LATER, entropy)
    assert renewed.leaves[CLIENT.name] == stable.leaves[CLIENT.name]
    old, new = stable.leaves[SERVER.name], renewed.leaves[SERVER.name]
    assert old.key != new.key
    assert new.chain[0].issuer == stable.bundle[0].subject
    assert (renewed.trust_since, renewed.leaf_since) == (NOW, LATER)
    assert renewed.ca_key == stable.ca_key


def test_renewal_keeps_the_cross_signed_certificate(stable: Material, entropy: PooledEntropy) -> None:
    begun = begin_cross_signed(stable, DOMAIN, "reason", NOW, entropy)
    renewed = renew_leaves(begun, DOMAIN, NAMES, LATER, entropy)
    for leaf in renewed.leaves.values():
        assert leaf.chain[1:] == (begun.cross,)
        assert leaf.chain[0].issuer == begun.bundle[0].subject


def test_renewal_while_introduced_is_the_old_cas(stable: Material, entropy: PooledEntropy) -> None:
    begun = begin_both_trusted(stable, DOMAIN, "reason", NOW, entropy)
    renewed = renew_leaves(begun, DOMAIN, NAMES, LATER, entropy)
    for leaf in renewed.leaves.values():
        assert leaf.chain[0].issuer == stable.bundle[0].subject
        assert len(leaf.chain) == 1


def test_renewal_without_the_old_cas_key_is_refused(stable: Material, entropy: PooledEntropy) -> None:
    data, annotations = render(begin_both_trusted(stable, DOMAIN, "reason", NOW, entropy), DOMAIN)
    del data["previous-ca.key"]
    begun = parse(data, annotations, DOMAIN)
    assert begun.previous is not None
    assert "previous-ca.key" not in render(begun, DOMAIN)[0]
    with pytest.raises(PkiError, match="key is lost"):
        renew_leaves(begun, DOMAIN, NAMES, NOW, entropy)
    assert issue_leaves(begun, DOMAIN, NOW, entropy).stage is Stage.ROLLING


def test_steps_out_of_order_are_refused(stable: Material, entropy: PooledEntropy) -> None:
    introduced = begin_both_trusted(stable, DOMAIN, "reason", NOW, entropy)
    with pytest.raises(PkiError, match="cannot go"):
        retire(introduced, DOMAIN, NOW)
    with pytest.raises(PkiError, match="follow stage Introduced"):
        issue_leaves(stable, DOMAIN, NOW, entropy)
    for begin in (begin_both_trusted, begin_cross_signed):
        with pytest.raises(PkiError, match="is going on"):
            begin(introduced, DOMAIN, "again", NOW, entropy)


def test_retiring_under_a_leaf_of_the_old_ca_is_refused(stable: Material, entropy: PooledEntropy) -> None:
    begun = begin_cross_signed(stable, DOMAIN, "reason", NOW, entropy)
    mixed = replace(begun, leaves={**begun.leaves, SERVER.name: stable.leaves[SERVER.name]})
    with pytest.raises(PkiError, match="would not verify"):
        retire(mixed, DOMAIN, NOW)


def test_a_rotation_without_a_reason_leaves_the_last_one(stable: Material, entropy: PooledEntropy) -> None:
    asked = replace(stable, last_reason="asked for")
    finished = retire(begin_cross_signed(asked, DOMAIN, "", NOW, entropy), DOMAIN, NOW)
    assert finished.last_reason == "asked for"


def test_new_keys_are_of_the_domains_algorithms(entropy: PooledEntropy) -> None:
    wanted = domain(signer=KeyAlgorithm.ECDSA_P384, leaf=KeyAlgorithm.RSA_2048)
    made = create(wanted, NOW, entropy)
    assert made.bundle[0].key_algorithm == "ECDSA-P384"
    assert {leaf.chain[0].key_algorithm for leaf in made.leaves.values()} == {"RSA-2048"}


def test_cmos_secret_is_adopted() -> None:
    adopted = parse(adopted_data(WORKING["plain"]), {}, DOMAIN)
    assert set(adopted.leaves) == set(NAMES)
    assert adopted.leaves[CLIENT.name].chain[0].dns_names == ()
    assert len(adopted.leaves[CLIENT.name].chain) == 2
    assert adopted.stage is Stage.STABLE
    assert adopted.trust_since == adopted.bundle[0].not_before
    assert adopted.leaf_since == adopted.leaves[SERVER.name].chain[0].not_before
    assert _round_trip(adopted) == adopted


@pytest.mark.parametrize(
    ("entry", "content", "error"),
    [
        ("ca.crt", None, GarbledCertificateError),
        ("ca.crt", b"rubbish", GarbledCertificateError),
        ("ca.key", None, GarbledKeyError),
        ("ca.key", b"rubbish", GarbledKeyError),
        ("ca.key", pooled_key(KeyAlgorithm.ECDSA_P256, 50).pem(), KeyMismatchError),
    ],
)
def test_without_a_ca_nothing_is_read(entry: str, content: bytes | None, error: type[PkiError]) -> None:
    data = adopted_data(WORKING["plain"])
    if content is None:
        del data[entry]
    else:
        data[entry] = content
    with pytest.raises(error) as caught:
        parse(data, {}, DOMAIN)
    assert str(caught.value).startswith(f"Secret/grpc-tls -n openshift-monitoring: {entry}: ")


@pytest.mark.parametrize("entry", ["crt", "key"])
@pytest.mark.parametrize("content", [b"", b"rubbish", pooled_key(KeyAlgorithm.ECDSA_P256, 50).pem()])
def test_a_leaf_that_cannot_be_used_is_absent(entry: str, content: bytes) -> None:
    data = adopted_data(WORKING["plain"])
    data[f"{SERVER.name}.{entry}"] = content
    assert set(parse(data, {}, DOMAIN).leaves) == {CLIENT.name}


@pytest.mark.parametrize("longer", [False, True])
@pytest.mark.parametrize("annotation", [None, "", "{", "[]", '{"id":"x","reason":"r","stage":"Rolling"}', "null"])
def test_a_lost_annotation_does_not_lose_the_rotation(
    stable: Material,
    entropy: PooledEntropy,
    longer: bool,  # noqa: FBT001 - a parameter of the test
    annotation: str | None,
) -> None:
    begin = begin_both_trusted if longer else begin_cross_signed
    begun = [begin(stable, DOMAIN, "reason", NOW, entropy)]
    if longer:
        begun.append(issue_leaves(begun[0], DOMAIN, NOW, entropy))
    for material in begun:
        data, annotations = render(material, DOMAIN)
        if annotation is None:
            del annotations[names.ROTATION]
        else:
            annotations[names.ROTATION] = annotation
        read = parse(data, annotations, DOMAIN)
        assert read.rotation is not None
        assert material.rotation is not None
        assert (read.rotation.id, read.stage) == (material.rotation.id, material.stage)


def test_garbled_times_fall_back_to_the_certificates(stable: Material) -> None:
    data, annotations = render(stable, DOMAIN)
    annotations[names.TRUST_SINCE] = "yesterday"
    annotations[names.LEAF_SINCE] = "2026-03-01T12:00:00"
    read = parse(data, annotations, DOMAIN)
    assert read.trust_since == stable.bundle[0].not_before
    assert read.leaf_since == stable.leaves[SERVER.name].chain[0].not_before


def test_derived_data(stable: Material) -> None:
    data, annotations = derived_data(stable, DOMAIN.derived[0], DOMAIN)
    assert set(data) == {"ca.crt", "server.crt", "server.key"}
    assert parse_certificates(data["server.crt"]) == stable.leaves[SERVER.name].chain
    assert parse_certificates(data["ca.crt"]) == stable.bundle
    assert set(annotations) == {names.TRUST_SINCE, names.LEAF_SINCE}
    with pytest.raises(PkiError, match="no usable leaf 'prometheus-server'"):
        derived_data(replace(stable, leaves={}), DOMAIN.derived[0], DOMAIN)


def test_the_cas_key_is_in_no_derived_secret(stable: Material, entropy: PooledEntropy) -> None:
    begun = begin_cross_signed(stable, DOMAIN, "reason", NOW, entropy)
    for spec in DOMAIN.derived:
        text = "".join(value.decode() for value in derived_data(begun, spec, DOMAIN)[0].values())
        assert not any(secret in text for secret in secrets_of(begun.ca_key, stable.ca_key))


def test_salvage_keeps_valid_cas_only(stable: Material) -> None:
    data, _ = render(stable, DOMAIN)
    data["ca.key"] = b"lost"
    assert salvage(data, NOW) == stable.bundle
    assert salvage(data, stable.bundle[0].not_after + timedelta(seconds=1)) == ()
    assert salvage({"ca.crt": b"rubbish"}, NOW) == salvage({}, NOW) == ()


@pytest.mark.parametrize("kind", ["plain", "constrained to the server's name"])
def test_the_probe_is_accepted_by_who_trusts_the_first_ca_only(kind: str, entropy: PooledEntropy) -> None:
    old = adopted_material(WORKING[kind])
    begun = begin_both_trusted(old, DOMAIN, "reason", NOW, entropy)
    for material, trusted, refused in ((old, old.bundle, begun.bundle[:1]), (begun, begun.bundle, old.bundle)):
        pem, key = probe_identity(material, NOW, entropy)
        (leaf,) = parse_certificates(pem)
        assert leaf.spki == key.spki
        assert leaf.common_name == "monitoring-tls-probe"
        assert leaf.not_after == NOW + timedelta(hours=1)
        assert verifies((leaf,), trusted, LeafUsage.CLIENT, None, NOW)
        assert not verifies((leaf,), refused, LeafUsage.CLIENT, None, NOW)


def _action(step: DomainStep, *leaves: str) -> WriteDomain:
    return WriteDomain("grpc", step, "why", "1", leaves, "reason")


def test_apply_makes_the_step_that_was_planned(stable: Material, entropy: PooledEntropy) -> None:
    assert apply(None, DOMAIN, _action(DomainStep.CREATE), NOW, entropy).last_reason == "reason"
    kept = apply(None, DOMAIN, _action(DomainStep.CREATE), NOW, entropy, stable.bundle)
    assert kept.bundle[1:] == stable.bundle
    renewed = apply(stable, DOMAIN, _action(DomainStep.RENEW_LEAVES, SERVER.name), NOW, entropy)
    assert renewed.leaves[SERVER.name] != stable.leaves[SERVER.name]
    assert renewed.leaves[CLIENT.name] == stable.leaves[CLIENT.name]
    crossed = apply(stable, DOMAIN, _action(DomainStep.BEGIN_CROSS_SIGNED), NOW, entropy)
    assert crossed.cross is not None
    introduced = apply(stable, DOMAIN, _action(DomainStep.BEGIN_BOTH_TRUSTED), NOW, entropy)
    assert introduced.stage is Stage.INTRODUCED
    issued = apply(introduced, DOMAIN, _action(DomainStep.ISSUE), NOW, entropy)
    assert issued.stage is Stage.ROLLING
    assert apply(issued, DOMAIN, _action(DomainStep.RETIRE), NOW, entropy).rotation is None


@pytest.mark.parametrize("step", [step for step in DomainStep if step is not DomainStep.CREATE])
def test_without_material_only_create_is_possible(step: DomainStep, entropy: PooledEntropy) -> None:
    with pytest.raises(PkiError, match="needs a CA"):
        apply(None, DOMAIN, _action(step), NOW, entropy)


def test_what_would_not_verify_is_never_written(entropy: PooledEntropy) -> None:
    constrained = adopted_material(Adopted(constraints=permitted("somewhere.else")))
    with pytest.raises(PkiError, match="'prometheus-server' would not verify"):
        renew_leaves(constrained, DOMAIN, (SERVER.name,), NOW, entropy)


def test_no_text_form_of_material_shows_a_key(stable: Material, entropy: PooledEntropy) -> None:
    begun = begin_cross_signed(stable, DOMAIN, "reason", NOW, entropy)
    keys = [begun.ca_key, stable.ca_key, *(leaf.key for leaf in begun.leaves.values())]
    text = f"{begun!r}{begun}{begun.previous!r}{begun.leaves}"
    assert "PrivateKey" not in repr(begun)
    assert not any(secret in text for secret in secrets_of(*keys))
