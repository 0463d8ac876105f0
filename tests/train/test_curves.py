from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from databuild.train.curves import drawn, plots_of

SFT = [
    {"step": 1, "loss": 2.5},
    {"step": 2, "loss": 2.0},
    {"step": 2, "eval_loss": 2.1},
    {"step": 2},
]
DPO = [
    {"step": 1, "loss": 0.7, "rewards/chosen": 0.2, "rewards/rejected": -0.6,
     "rewards/margins": 0.8, "rewards/accuracies": 0.75},
    {"step": 2, "eval_loss": 0.6, "eval_rewards/chosen": 0.0, "eval_rewards/rejected": -1.0,
     "eval_rewards/margins": 1.0, "eval_rewards/accuracies": 1.0},
]  # fmt: skip


def test_losses_that_a_trainer_logged_become_curves() -> None:
    (plot,) = plots_of({"history": SFT})
    assert plot.series == [("training", [(1, 2.5), (2, 2.0)]), ("held-out rows", [(2, 2.1)])]
    assert plots_of({}) == []


def test_preferences_have_margins_and_drift_in_nats() -> None:
    plots = {p.title: p.series for p in plots_of({"history": DPO, "options": {"beta": 0.2}})}
    assert plots["reward margin"] == [("training", [(1, 0.8)]), ("held-out rows", [(2, 1.0)])]
    assert plots["share of pairs preferred rightly"][0] == ("training", [(1, 0.75)])
    (_, training), (_, held) = plots["drift from the start, nats per answer"]
    assert training[0] == pytest.approx((1.0, 1.0))
    assert held[0] == pytest.approx((2.0, 2.5))


def test_the_file_is_one_picture_of_all_plots() -> None:
    picture = ET.fromstring(drawn({"history": DPO, "options": {"beta": 0.2}}, "dpo"))
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    assert [one.get("y") for one in picture] == ["0", "230", "460", "690"]
    assert int(picture.get("height") or 0) == 4 * 230
