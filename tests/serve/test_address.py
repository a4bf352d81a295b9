"""Addresses: the text and what it says are one to one, and nothing else is an address."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests import bottles
from xr_cbottle import Cube
from xr_cbottle.grid.time_axis import format_period
from xr_cbottle.serve.address import MOST_MEMBERS, Address, parse

labels = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_+-]{0,20}(?:\.[A-Za-z0-9_+-]{1,20}){0,2}", fullmatch=True)
members = st.one_of(
    st.none(),
    st.builds(
        lambda first, count: tuple(range(first, first + count)),
        st.integers(0, 2**32 - MOST_MEMBERS),
        st.integers(1, 40),
    ),
)
addresses = st.builds(
    Address,
    time=st.integers(1, 36525 * 86400).map(format_period),
    time_method=st.sampled_from(["inst", "mean"]),
    seed=st.integers(0, 2**63 - 1),
    members=members,
    zoom=st.integers(0, 29),
    label=st.none() | labels,
    kelvin=st.none() | st.sampled_from(["+2", "-0.5", "+1.25", "+14"]),
    co2=st.none() | st.sampled_from(["560", "284.317", "ssp245", "1pctCO2", "ssp534-over"]),
    coherence=st.none()
    | st.sampled_from(["latents", "bridge", "video"])
    | st.integers(1, 366 * 86400).map(format_period),
)


@given(addresses)
def test_round_trip(address):
    text = str(address)
    assert parse(text) == address
    assert str(parse(text)) == text
    assert hash(parse(text)) == hash(address)
    assert text.isascii()
    assert not set(text) & set("/%?#\\ ")
    assert ".." not in text


@given(st.text(max_size=300) | st.text("PTDHMS0123456789_instmeansmzl-./", max_size=60))
@example("PT6H_inst_s0_m0_z4\n")
@example("PT6H_inst_s٣_m0_z4")
@example("PT６H_inst_s0_m0_z4")
@example("P" + "9" * 19 + "D_inst_s0_m0_z4")
@example("PT6H_inst_s" + "9" * 5000 + "_m0_z4")
@example("\udcff")
def test_any_other_text_is_refused_with_a_sentence(text):
    try:
        address = parse(text)
    except ValueError as error:
        message = str(error)
        assert "\n" not in message
        assert message.isascii()
        assert 20 < len(message) < 400
    else:
        assert str(address) == text


@given(addresses, st.data())
def test_a_changed_letter_is_another_address_or_none(address, data):
    text = str(address)
    at = data.draw(st.integers(0, len(text) - 1))
    changed = text[:at] + data.draw(st.characters()) + text[at + 1 :]
    try:
        assert (parse(changed) == address) == (changed == text)
    except ValueError:
        assert changed != text


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("PT6H_inst_s0_m0_z4", None),
        ("PT6H_inst_s0_m2_z4", (2,)),
        ("PT6H_inst_s0_m0-3_z4", (0, 1, 2, 3)),
        ("P1D_mean_s7_m5-6_z3_lera5", (5, 6)),
        ("P1DT12H_inst_s9223372036854775807_m4294967294-4294967295_z0_la_b.c+d-e", (2**32 - 2, 2**32 - 1)),
    ],
)
def test_members(text, members):
    address = parse(text)
    assert address.members == members
    assert address.has_member_dimension == (members is not None and len(members) > 1)
    assert pickle.loads(pickle.dumps(address)) == address


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("PT24H_inst_s0_m0_z4", "PT24H is written P1D"),
        ("PT06H_inst_s0_m0_z4", "PT06H is written PT6H"),
        ("PT0H_inst_s0_m0_z4", "nothing long"),
        ("P1M_inst_s0_m0_z4", "write for example PT1H"),
        ("P99999D_inst_s0_m0_z4", "'P99999D' cannot be a step"),
        ("PT6H_max_s0_m0_z4", "choose one of inst, mean"),
        ("PT6H_inst_s00_m0_z4", "without signs and leading zeros"),
        ("PT6H_inst_s+1_m0_z4", "without signs"),
        ("PT6H_inst_s-1_m0_z4", "without signs"),
        ("PT6H_inst_s9223372036854775808_m0_z4", "from 0 to 9223372036854775807"),
        ("PT6H_inst_s0_m3-3_z4", "write m3 for that one"),
        ("PT6H_inst_s0_m3-1_z4", "no range of members"),
        ("PT6H_inst_s0_m0-4096_z4", "at most 4096"),
        ("PT6H_inst_s0_m0-999999999999999999_z4", "from 0 to 4294967295"),
        ("PT6H_inst_s0_m4294967296_z4", "from 0 to 4294967295"),
        ("PT6H_inst_s0_m0_z30", "zoom is 30"),
        ("PT6H_inst_s0_m0_z4_l", "is no address"),
        ("PT6H_inst_s0_m0_z4_l..", "cannot be a label"),
        ("PT6H_inst_s0_m0_z4_l.a", "cannot be a label"),
        ("PT6H_inst_s0_m0_z4_la..b", "cannot be a label"),
        ("PT6H_inst_s0_m0_z4_la/b", "cannot be a label"),
        ("PT6H_inst_s0_m0_z4_l" + "a" * 65, "is no address"),
        ("PT6H_inst_s0_m0", "is no address"),
        ("pt6h_inst_s0_m0_z4", "is no address"),
        ("PT6H_inst_s0_m0_z4_wNone", "is no address"),
        ("PT6H_inst_s0_m0_z4_wPT48H", "is written P2D in an address"),
        ("PT6H_inst_s0_m0_z4_wP400D", "cannot be a coherence in an address"),
        ("PT6H_inst_s0_m0_z4_wP2D_wP2D", "is no address"),
        (" PT6H_inst_s0_m0_z4", "is no address"),
        ("", "is no address"),
    ],
)
def test_refused(text, sentence):
    with pytest.raises(ValueError, match=r"^[^\n]*$") as caught:
        parse(text)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"time": "PT24H"}, {"time": "6H"}, {"time_method": "max"}, {"seed": -1}, {"seed": True}, {"seed": 1.0},
        {"members": ()}, {"members": (0, 2)}, {"members": (1, 0)}, {"members": (-1,)}, {"zoom": 30}, {"label": ""},
        {"members": tuple(range(MOST_MEMBERS + 1))}, {"coherence": "None"}, {"coherence": "2D"}, {"coherence": ""},
    ],
)  # fmt: skip
def test_an_address_that_has_no_text_cannot_be_made(change):
    with pytest.raises(ValueError, match=r"address|choose|ISO"):
        Address(**{"time": "PT6H", "time_method": "inst", "seed": 0, "members": None, "zoom": 2, **change})


def test_keywords_open_the_cube(tmp_path):
    bottle = bottles.synthetic_bottle(tmp_path / "small.cbottle")
    spec = Cube(bottle, **parse("P1D_mean_s7_m1-2_z1_lb").keywords()).spec
    assert (spec.axis.step, spec.axis.method, spec.seed, spec.members) == (86400, "mean", 7, (1, 2))
    assert (spec.zoom, spec.label) == (1, "b")
    assert Cube(bottle, **parse("P1D_mean_s7_m1-2_z1_wP2DT6H_lb").keywords()).spec.coherence == 54 * 3600
    plain = Cube(bottle, **parse("PT6H_inst_s0_m0_z2").keywords())
    assert plain.spec.coherence is None
    assert plain.spec == Cube(bottle).spec
    np.testing.assert_array_equal(Cube(bottle, **parse("PT6H_inst_s0_m2_z2").keywords()).spec.members, [2])
