"""Properties of taking and giving back, and of resolving whatever stands in the object."""

import json
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from monitoring_tls.model.component import Dialect
from monitoring_tls.model.profile import EffectiveProfile, ProfileProblem, TLSVersion
from monitoring_tls.profile.dialects import (
    edit_args,
    edit_fields,
    found_fields,
    found_flags,
    owned,
    restore_args,
    settings,
    writes_flags,
)
from monitoring_tls.profile.facts import GO_INSECURE, GROUPS, NOT_IN_GO, OPENSSL_TO_IANA, TLS13_SUITES
from monitoring_tls.profile.resolve import resolve

NAMES = ("--tls-min-version", "--tls-cipher-suites", "--http2-disable")
words = st.text("abc.,:/$()", min_size=1, max_size=6)
foreign = st.one_of(
    st.builds(lambda name: (f"--{name}",), words),
    st.builds(lambda name, value: (f"--{name}={value}",), words, words),
    st.builds(lambda name, value: (f"--{name}", value), words, words),
    words.map(lambda word: (word,)),
    st.just(("--tls-min-version-extra=1",)),
    st.just(("",)),
)
ours = st.one_of(
    st.builds(lambda name, value: (f"{name}={value}",), st.sampled_from(NAMES), st.one_of(words, st.just(""))),
    st.builds(lambda name, value: (name, value), st.sampled_from(NAMES), words),
)
tails = st.one_of(st.just(()), st.just(("--", "--tls-min-version=VersionTLS10")))


def _flat(items: list[tuple[str, ...]], tail: tuple[str, ...]) -> tuple[str, ...]:
    return (*(token for item in items for token in item), *tail)


arguments = st.builds(_flat, st.lists(st.one_of(foreign, ours), max_size=10), tails)
wanted = st.dictionaries(st.sampled_from(NAMES), st.one_of(st.none(), words), max_size=3)


def others(args: tuple[str, ...]) -> tuple[str, ...]:
    """The arguments that aren't ours, computed in another way than the code under test does."""
    end = args.index("--") if "--" in args else len(args)
    kept: list[str] = []
    skip = False
    for index, arg in enumerate(args[:end]):
        if skip:
            skip = False
        elif arg.split("=", 1)[0] in NAMES:
            skip = "=" not in arg and index + 1 < end and not args[index + 1].startswith("-")
        else:
            kept.append(arg)
    return (*kept, *args[end:])


@given(arguments, wanted)
def test_taking_and_giving_back_leaves_the_list_as_it_was(
    args: tuple[str, ...], flags: Mapping[str, str | None]
) -> None:
    found = json.loads(json.dumps(found_flags(args, NAMES)))
    assert restore_args(edit_args(args, flags), found) == args


@given(arguments, st.lists(wanted, max_size=4))
def test_giving_back_works_after_any_number_of_profiles(
    args: tuple[str, ...], changes: list[Mapping[str, str | None]]
) -> None:
    found = found_flags(args, NAMES)
    taken = args
    for flags in changes:
        taken = edit_args(taken, flags)
    assert restore_args(taken, found) == args


@given(arguments, wanted)
def test_others_arguments_are_untouched_and_ours_are_as_wanted(
    args: tuple[str, ...], flags: Mapping[str, str | None]
) -> None:
    after = edit_args(args, flags)
    assert others(after) == others(args)
    assert edit_args(after, flags) == after
    found = found_flags(after, NAMES)["flags"]
    assert isinstance(found, Mapping)
    for name, value in flags.items():
        if value is None:
            assert found[name] == []
        else:
            ((_, *tokens),) = found[name]
            assert tokens in ([f"{name}={value}"], [name, value])


@given(arguments, arguments)
def test_giving_back_keeps_what_others_changed_since(before: tuple[str, ...], now: tuple[str, ...]) -> None:
    assert others(restore_args(now, found_flags(before, NAMES))) == others(now)


@given(st.dictionaries(st.sampled_from("abcde"), st.one_of(st.integers(), st.lists(words, max_size=2))), st.data())
def test_fields_are_given_back(present: dict[str, object], data: st.DataObject) -> None:
    fields = data.draw(st.dictionaries(st.sampled_from("abc"), st.one_of(st.none(), words, st.tuples(words))))
    found = found_fields(present, fields)
    taken = merged(present, edit_fields(present, fields))
    assert edit_fields(taken, fields) == {}
    assert merged(taken, edit_fields(taken, found)) == present


def merged(present: Mapping[str, object], edit: Mapping[str, object]) -> dict[str, object]:
    """What an API server makes of a merge patch."""
    return {key: value for key, value in {**present, **edit}.items() if value is not None}


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)
suites = st.sampled_from([*OPENSSL_TO_IANA, *NOT_IN_GO, *TLS13_SUITES, "nonsense", "aes128-sha"])
customs = st.fixed_dictionaries(
    {},
    optional={
        "minTLSVersion": st.one_of(st.sampled_from([version.value for version in TLSVersion]), json_values),
        "ciphers": st.one_of(st.lists(suites, max_size=8), json_values),
        "groups": st.one_of(st.lists(st.sampled_from([*GROUPS, "CurveP256"]), max_size=4), json_values),
    },
)
specs = st.one_of(
    json_values,
    st.fixed_dictionaries({"type": st.sampled_from(["Old", "Intermediate", "Modern"])}),
    st.fixed_dictionaries({"type": st.just("Custom"), "custom": st.one_of(customs, json_values)}),
)


@given(specs, st.booleans())
def test_every_object_gives_a_profile_that_holds_or_a_problem(spec: object, fips: bool) -> None:  # noqa: FBT001 - drawn
    result = resolve(spec, fips=fips)
    if isinstance(result, ProfileProblem):
        assert result.field.startswith("spec.tlsSecurityProfile")
        assert result.remedy
        return
    assert isinstance(result, EffectiveProfile)
    assert bool(result.ciphers) == (result.min_version is not TLSVersion.TLS13)
    assert result.iana_ciphers == tuple(OPENSSL_TO_IANA[name] for name in result.ciphers)
    assert len(set(result.ciphers)) == len(result.ciphers)
    assert set(result.groups) <= set(GROUPS)
    assert not (fips and "X25519MLKEM768" in result.groups)


@given(customs)
def test_no_dialect_weakens_a_profile(custom: dict[str, object]) -> None:
    result = resolve({"type": "Custom", "custom": custom})
    if isinstance(result, ProfileProblem):
        return
    for dialect in Dialect:
        written = settings(dialect, result)
        assert set(written.flags if writes_flags(dialect) else written.fields) <= set(owned(dialect))
    cr = settings(Dialect.PROMETHEUS_CR_GRPC, result).fields
    served = cr["cipherSuites"]
    # An absent list means Go's own suites, which must then have no effect.
    assert served is not None or cr["minVersion"] == "TLS13"
    if isinstance(served, tuple):
        assert set(served) <= set(result.iana_ciphers) - GO_INSECURE
    proxy = settings(Dialect.KUBE_RBAC_PROXY_FLAGS, result).flags
    assert proxy["--tls-cipher-suites"] is not None or proxy["--tls-min-version"] == "VersionTLS13"
