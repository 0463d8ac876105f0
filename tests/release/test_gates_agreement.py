"""A version that rests on people's votes says how far they agree, or is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest

from databuild.engine.lineage import Runs
from databuild.recipe.bind import Ref
from databuild.recipe.model import Release
from databuild.release.about import agreement
from databuild.release.gates import gates

if TYPE_CHECKING:
    from databuild.engine.table import View
    from databuild.release.versions import Gate


@dataclass
class Made:
    """What the gates look at of a manifest."""

    use: str
    inputs: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    key_parts: dict[str, Any] = field(default_factory=dict)


@dataclass
class Known:
    """The finished steps."""

    manifests: dict[str, Made]
    behind = Runs.behind


def gate_of(*, page: dict[str, Any] | None = None, gated: dict[str, Any] | None = None,
            released: str = "pairs", least: float | None = 0.1) -> Gate:  # fmt: skip
    """The gate `agreement` of a recipe with votes, where each of two steps may be there."""
    manifests = {
        "raw": Made("ingest.files"), "votes": Made("annotate.pull", {"rows": "raw"}),
        "reliable": Made("annotate.gate", {"rows": "votes"}, gated or {}, {"min_alpha": least}),
        "pairs": Made("annotate.pairs", {"rows": "reliable" if gated else "votes"}),
        "page": Made("annotate.agreement", {"rows": "votes"}, page or {}),
    }  # fmt: skip
    for name, there in (("reliable", gated), ("page", page)):
        if there is None:
            del manifests[name]
    runs = cast("Runs", Known(manifests))
    tables = {"preference": {"train": (Ref(released), cast("View", None))}}
    release = Release.model_validate({"configs": {"preference": {"train": released}}})
    found = gates({}, {}, runs, tables, release, {"raw": "MIT"})
    return next(one for one in found if one.name == "agreement")


def test_votes_that_went_through_a_gate_pass_and_its_alpha_is_told() -> None:
    found = gate_of(gated={"alpha": 0.42, "n_units": 40, "votes": {"kept": 90, "all": 99}})
    assert found.passed is True
    assert found.told == "reliable: alpha 0.42 over 40 records, at least 0.1 asked for"


def test_agreement_that_is_only_stated_passes_too() -> None:
    alpha = {"value": 0.3, "low": 0.1, "high": 0.5}
    found = gate_of(page={"alpha": alpha, "n_units": 7})
    assert (found.passed, found.told) == (
        True, "page: alpha 0.30 [0.10, 0.50] over 7 records, no limit asked for",
    )  # fmt: skip


@pytest.mark.parametrize("gated", [None, {"alpha": None, "n_units": 0, "votes": {"kept": 3}}])
def test_votes_of_which_nobody_knows_do_not_pass(gated) -> None:
    found = gate_of(gated=gated, least=None)
    assert found.passed is False
    assert "nobody knows how far the voters of votes agree, on whom preference rests" in found.told


def test_a_table_that_goes_round_the_gate_does_not_pass_by_it() -> None:
    found = gate_of(gated={"alpha": 0.9, "n_units": 9, "votes": {}}, released="votes")
    assert found.passed is False


def test_rows_without_votes_need_no_agreement() -> None:
    assert gate_of(released="raw").passed is None


def test_who_voted_how_often_is_told() -> None:
    page = Made("annotate.agreement", {"rows": "votes"}, {
        "alpha": {"value": 0.3, "low": 0.1, "high": 0.5}, "n_units": 7, "n_votes": 20,
        "n_annotators": 4, "n_simulated": 20,
    })  # fmt: skip
    runs = cast("Runs", Known({"votes": Made("annotate.pull"), "page": page}))
    [told] = agreement(runs, {"votes"})
    assert (told["people"], told["n_votes"], told["simulated"]) == (4, 20, 20)
