"""Two versions differ by the rows that differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from databuild import api
from databuild.errors import SchemaError, StoreError
from databuild.release.verifying import verify
from databuild.release.versions import Versions
from tests.release.conftest import tickets

if TYPE_CHECKING:
    from databuild.release.differences import Changes
    from tests.release.conftest import Shop


def all_of(shop: Shop, **options: object) -> Changes:
    found = api.difference("shop@1.0.0", "shop@latest", store=shop.store, **options)
    return next(one for one in found if one.config == "all")


def test_added_removed_changed_and_same_are_counted_and_shown(shop: Shop) -> None:
    rows = tickets(50)
    shop.run(rows)
    shop.release()
    rows[7]["response"] = "It is lost."
    shop.run([*rows[5:], *tickets(3, start=100)])
    shop.release()
    found = all_of(shop)
    told = {kind: n for kind, n in found.counts.items() if n}
    assert told == {"added": 3, "removed": 5, "changed": 1}
    assert (found.before, found.after, found.same) == (50, 48, 44)
    assert found.columns["response"] == 1
    [example] = found.examples["changed"]
    assert example["differs"]["response"] == ("On way 7.", "It is lost.")
    assert {one["row"]["ticket"] for one in found.examples["removed"]} <= {
        f"t{n}" for n in range(5)
    }


def test_the_same_rows_have_no_difference_whatever_their_order(shop: Shop) -> None:
    rows = tickets(30)
    shop.run(rows)
    shop.release()
    shop.run(rows[::-1])
    shop.release()
    for one in api.difference("shop@1.0.0", "shop@1.1.0", store=shop.store):
        assert set(one.counts.values()) == {0}
        assert one.columns == {}


def test_a_row_that_is_weighed_otherwise_is_regraded_not_changed(shop: Shop) -> None:
    rows = tickets(20)
    shop.run([{**row, "weight": 1.0} for row in rows], **{"key: ticket": "key: ticket"})
    shop.release()
    shop.run([{**row, "weight": 2.0 if n < 4 else 1.0} for n, row in enumerate(rows)])
    shop.release()
    found = all_of(shop)
    # A weight that is read from the file is content, so the rows are others; their keys are not.
    assert found.counts["regraded"] == 4
    assert found.columns["weight"] == 4


def test_rows_are_counted_by_a_column_of_the_users(shop: Shop) -> None:
    rows = [{**row, "tone": "kind" if n % 2 else "dry"} for n, row in enumerate(tickets(20))]
    shop.run(rows)
    shop.release()
    shop.run(rows[4:])
    shop.release()
    strata = all_of(shop, by="tone").strata
    assert [(one["stratum"], one["removed"]) for one in strata] == [("dry", 2), ("kind", 2)]
    with pytest.raises(SchemaError, match=r"no column 'tune'.*'tone'"):
        all_of(shop, by="tune")


def test_a_version_that_is_not_there_names_what_is_near(shop: Shop) -> None:
    shop.run(tickets(20))
    shop.release()
    with pytest.raises(StoreError, match=r"shop has no version '1.0.1'.*1.0.0"):
        api.difference("shop@1.0.0", "shop@1.0.1", store=shop.store)
    with pytest.raises(StoreError, match="no version of 'shap' is here"):
        api.difference("shap", "shop", store=shop.store)


def test_verify_names_what_changed_and_what_is_still_whole(shop: Shop) -> None:
    shop.run(tickets(20))
    folder = shop.release()
    versions = Versions(shop.store, "shop")
    assert verify(versions, "latest").faults == {}
    [train] = (folder / "data/sft").glob("train-*")
    content = bytearray(train.read_bytes())
    content[50] ^= 1
    folder.chmod(0o755)
    train.parent.chmod(0o755)
    train.unlink()
    train.write_bytes(content)
    (folder / "notes.txt").write_text("mine")
    (folder / "README.md").unlink()
    found = verify(versions, "1.0.0")
    assert found.faults == {
        "data/sft/train-00000.parquet": "changed",
        "README.md": "missing",
        "notes.txt": "not of this version",
    }
    assert found.intact == {"sft/dev": 6, "all/everything": 20}


def test_equal_files_of_two_versions_are_stored_once(shop: Shop) -> None:
    rows = tickets(20)
    shop.run(rows)
    a = shop.release()
    b = shop.release()
    files = [(folder / "data/all/everything-00000.parquet") for folder in (a, b)]
    assert files[0].samefile(files[1])
