"""What goes wrong with a real Argilla: nothing is doubled, nothing that was said is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from databuild.annotate.argilla import ArgillaDesk
from databuild.annotate.argilla_api import Api
from databuild.annotate.fetching import fetch
from databuild.annotate.push import PushConfig, put_before_people
from databuild.errors import ServiceError
from tests.annotate.test_contract import Argilla, pulled, pushed, rows_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.live
def test_a_vote_outlives_its_annotator_its_record_and_its_data_set(
    argilla: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people, rows = Argilla(), rows_of(3)
    log, _, options = pushed(people, rows, tmp_path)
    (tmp_path / "again").mkdir()
    again = put_before_people(
        rows, PushConfig.model_validate(options), out=tmp_path / "again",
        journals=log.path.parents[1], files=(), seed=7,
    )  # fmt: skip
    assert (again["new"], again["there"]) == (0, 3)
    records = log.read().records
    people.answer(log, {record: {"preference": "a_much"} for record in records}, "zoe")
    assert fetch(log, ArgillaDesk()).new == 3
    with Api(argilla) as api:
        user = next(one for one in api.get("/users")["items"] if one["username"] == "zoe")
        api._ask("DELETE", f"/users/{user['id']}")
        assert fetch(log, ArgillaDesk()).new == 0
        assert pulled(log, rows, options).rows.height == 3
        dataset = api.dataset(log.dataset)
        assert dataset is not None
        first = next(api.records(dataset["id"], responses=False))
        changed = {"id": first["id"], "external_id": first["external_id"]}
        changed["fields"] = {**first["fields"], "response_a": "changed"}
        api.put(f"/datasets/{dataset['id']}/records/bulk", {"items": [changed]})
        people.answer(log, {record: {"preference": "b_much"} for record in records}, "yan")
        found = fetch(log, ArgillaDesk())
        assert found.new == 2
        assert list(found.passed_over) == [
            "votes on records that were changed by hand in Argilla (put their texts back)"
        ]
        api._ask("DELETE", f"/datasets/{dataset['id']}")
    assert "is not in the workspace" in fetch(log, ArgillaDesk()).unreachable
    monkeypatch.setenv("ARGILLA_API_KEY", "wrong")
    with pytest.raises(ServiceError, match="API key is wrong"):
        fetch(log, ArgillaDesk(argilla.url))
    monkeypatch.setenv("DATABUILD_HOME", str(tmp_path))
    assert "no local Argilla" in fetch(log, ArgillaDesk()).note
    assert pulled(log, rows, options).rows.height == 5
