"""A report is of the bottle that ships: packing its figures into the bottle changes the digest, and not its values."""

from __future__ import annotations

from tests import bottles
from xr_cbottle.bottle.bottle import open_bottle
from xr_cbottle.evaluation.bottle_identity import digest_of_values, identified


def test_words_do_not_change_what_the_values_are_made_of_and_weights_do(tmp_path):
    one, told, other = (tmp_path / f"{name}.cbottle" for name in ("one", "told", "other"))
    bottles.synthetic_bottle(one, channels=("tas",))
    bottles.synthetic_bottle(told, channels=("tas",), trained_on={"evaluation": {"summary": {"met": 5}}}, name="again")
    bottles.synthetic_bottle(other, channels=("tas",), seed=1)
    opened = [open_bottle(path) for path in (one, told, other)]
    digests = [digest_of_values(bottle) for bottle in opened]
    assert digests[0] == digests[1] != digests[2]
    assert opened[0].digest != opened[1].digest
    assert identified(opened[1]) == {
        "name": "again", "digest": f"sha256:{opened[1].digest}", "values": f"sha256:{digests[0]}",
    }  # fmt: skip
