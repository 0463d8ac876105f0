"""Licences are read together by a table, and never guessed."""

from __future__ import annotations

import pytest

from databuild.errors import RecipeError
from databuild.release.licences import TABLE, check_words, combine, refusals


@pytest.mark.parametrize(
    ("licences", "strictest", "n_conflicts"),
    [
        (["CC0-1.0", "MIT"], ("MIT",), 0),
        (["MIT", "Apache-2.0"], ("MIT", "Apache-2.0"), 0),
        (["CC-BY-4.0", "CC-BY-NC-4.0"], ("CC-BY-NC-4.0",), 0),
        (["CC-BY-NC-4.0", "CC-BY-NC-SA-4.0"], ("CC-BY-NC-SA-4.0",), 0),
        (["CC-BY-SA-3.0", "cc-by-sa-4.0"], ("CC-BY-SA-4.0",), 0),
        (["CC-BY-SA-4.0", "CC-BY-NC-4.0"], (), 1),
        (["CC-BY-SA-4.0", "ODbL-1.0"], (), 1),
        (["CC-BY-ND-4.0"], (), 1),
    ],
)
def test_the_strictest_of_several(licences, strictest, n_conflicts) -> None:
    found = combine({f"s{n}": one for n, one in enumerate(licences)})
    assert (found.strictest, len(found.conflicts)) == (strictest, n_conflicts)
    assert found.unknown == ()


def test_what_is_not_in_the_table_is_unknown_whatever_the_others_say() -> None:
    found = combine({"a": "MIT", "b": None, "c": "MIT OR GPL-3.0-only", "d": "free for all"})
    assert found.strictest == ()
    assert [one.partition(":")[0] for one in found.unknown] == ["b", "c", "d"]
    assert found.hub == ["unknown"]
    assert combine({}).hub == ["other"]


def test_every_share_alike_licence_may_stay_what_it_is() -> None:
    for terms in TABLE.values():
        assert bool(terms.onto) == ("share-alike" in terms.rules)
        assert not terms.onto or terms.onto[0] == terms.spdx
        assert set(terms.onto) <= {one.spdx for one in TABLE.values()}


def test_what_a_recipe_refuses_is_found_by_rule_by_name_and_as_a_conflict() -> None:
    licence = {"web": "CC-BY-NC-4.0", "wiki": "cc-by-sa-4.0", "mail": None}
    assert refusals(licence, ["non-commercial"]) == ["non-commercial: CC-BY-NC-4.0 of web"]
    assert refusals(licence, ["CC-BY-SA-4.0"]) == ["CC-BY-SA-4.0: CC-BY-SA-4.0 of wiki"]
    assert refusals(licence, ["unknown"]) == ["unknown of mail: nobody said"]
    assert len(refusals(licence, ["conflict"])) == 1
    assert refusals(licence, ["no-derivatives", "MIT"]) == []
    with pytest.raises(RecipeError, match=r"refuse_licences names 'non-comercial'.*non-commercial"):
        check_words(["non-comercial"], "recipe.yaml:1")
