"""Taking flags and keys, and giving them back: the cases that one would name."""

import json

import pytest

from monitoring_tls.profile.dialects import edit_args, edit_fields, found_fields, found_flags, restore_args, with_found

MIN, SUITES = "--tls-min-version", "--tls-cipher-suites"


@pytest.mark.parametrize(
    ("before", "flags", "after"),
    [
        (None, {MIN: "V13"}, ("--tls-min-version=V13",)),
        ((), {MIN: None}, ()),
        (("--a", f"{MIN}=V12", "--b=1"), {MIN: "V13"}, ("--a", f"{MIN}=V13", "--b=1")),
        (("--a", MIN, "V12", "--b", "1"), {MIN: "V13"}, ("--a", f"{MIN}=V13", "--b", "1")),
        (("--a", MIN, "V12", "pos"), {MIN: None}, ("--a", "pos")),
        ((MIN, "V13"), {MIN: "V13"}, (MIN, "V13")),
        ((f"{SUITES}=A", "x", f"{SUITES}=B"), {SUITES: "C"}, (f"{SUITES}=C", "x")),
        ((f"{SUITES}=A", "x", SUITES, "B"), {SUITES: None}, ("x",)),
        ((MIN, "--other"), {MIN: "V13"}, (f"{MIN}=V13", "--other")),
        ((f"{MIN}-extra=1", f"x{MIN}=1"), {MIN: "V13"}, (f"{MIN}-extra=1", f"x{MIN}=1", f"{MIN}=V13")),
        (("--", f"{MIN}=V12"), {MIN: "V13"}, (f"{MIN}=V13", "--", f"{MIN}=V12")),
        ((f"{MIN}=",), {MIN: ""}, (f"{MIN}=",)),
        (("--on", "--a"), {"--on": "true"}, ("--on", "--a")),
    ],
)
def test_only_the_named_flags_change(
    before: tuple[str, ...] | None, flags: dict[str, str | None], after: tuple[str, ...]
) -> None:
    assert edit_args(before, flags) == after
    assert edit_args(after, flags) == after


def test_what_was_found_fits_in_an_annotation_and_comes_back() -> None:
    before = ("--a", SUITES, "A,B", "--b=1", f"{SUITES}=C", "pos")
    found = json.loads(json.dumps(found_flags(before, (MIN, SUITES))))
    taken = edit_args(before, {MIN: "V13", SUITES: None})
    assert taken == ("--a", "--b=1", "pos", f"{MIN}=V13")
    assert restore_args(taken, found) == before


def test_others_changes_are_kept_when_ours_are_given_back() -> None:
    before = ("--a=1", "--b", "2", f"{MIN}=V12", "--c=3")
    found = found_flags(before, (MIN,))
    changed = ("--b", "2", f"{MIN}=V13", "--c=4", "--d")
    given = restore_args(changed, found)
    assert [arg for arg in given if not arg.startswith(MIN)] == ["--b", "2", "--c=4", "--d"]
    assert f"{MIN}=V12" in given


def test_ours_never_come_between_a_flag_and_its_value() -> None:
    found = found_flags(("--a=1", f"{MIN}=V12", "--b", "2"), (MIN,))
    assert restore_args(("--b", "2", f"{MIN}=V13"), found) == ("--b", "2", f"{MIN}=V12")


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"flags": None},
        {"flags": {MIN: None}},
        {"flags": {MIN: [["x", "y"]]}},
        {"flags": {MIN: [[-1, "y"]]}},
        {"flags": {MIN: [[0]]}},
        {"flags": {MIN: "abc"}},
        {"flags": {MIN: [[0, 1]]}},
    ],
)
def test_an_annotation_that_somebody_garbled_changes_nothing(found: dict[str, object]) -> None:
    assert restore_args((f"{MIN}=V13", "--a"), found) == (f"{MIN}=V13", "--a")


def test_fields() -> None:
    present = {"caFile": "ca.crt", "minVersion": "TLS12", "curves": ["X25519"]}
    wanted = {"minVersion": "TLS13", "cipherSuites": None, "curves": ("X25519",)}
    found = found_fields(present, wanted)
    assert found == {"minVersion": "TLS12", "cipherSuites": None, "curves": ["X25519"]}
    assert edit_fields(present, wanted) == {"minVersion": "TLS13"}
    assert edit_fields({**present, "minVersion": "TLS13", "cipherSuites": ["A"]}, found) == {
        "minVersion": "TLS12",
        "cipherSuites": None,
    }


@pytest.mark.parametrize("before", [("--a",), ("--off=true", "--a"), ("--off", "--a"), ("--a", "--off", "false")])
def test_a_flag_that_the_next_profile_does_not_need_goes_back(before: tuple[str, ...]) -> None:
    found = found_flags(before, (MIN, "--off"))
    needed = edit_args(before, with_found({MIN: "V12", "--off": "true"}, found))
    assert [arg for arg in needed if arg.startswith("--off")]
    later = edit_args(needed, with_found({MIN: "V12"}, found))
    plain = edit_args(before, {MIN: "V12"})
    assert {arg.replace("--off=false", "--off") for arg in later} == {*plain} - {"false"}
    assert restore_args(later, found) == before


def test_without_notes_only_the_wanted_flags_are_set() -> None:
    assert with_found({MIN: "V12"}, None) == {MIN: "V12"}
