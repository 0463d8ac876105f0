"""Groups of seeds, their quotas, and the heads that are drawn from them."""

from __future__ import annotations

from collections import Counter

from databuild.generate.self_instruct_heads import Group, Task, grouped, next_heads


def seed(name, topic=None, language="en"):
    return Task(f"Task {name}", "task " + name, f"row-{name}"), topic, language


def test_shares_go_by_topic_and_then_by_the_seeds_of_each_language():
    seeds = [seed("a", "x"), seed("b", "x"), seed("c", "x"), seed("d", "x", "zh"), seed("e", "y")]
    groups = grouped(seeds, 20, {"x": 0.8, "y": 0.1, "z": 0.1})
    assert [(group.name, group.wanted) for group in groups] == [
        ("x, en", 12), ("x, zh", 4), ("y, en", 2), ("z, no seeds", 2),
    ]  # fmt: skip
    assert [group.missing for group in groups] == [12, 4, 2, 0]


def test_without_shares_topics_share_by_their_seeds():
    groups = grouped([seed("a", "x"), seed("b"), seed("c")], 9, {})
    assert [(group.topic, group.wanted) for group in groups] == [(None, 6), ("x", 3)]
    assert grouped([], 9, {}) == []


def test_a_round_has_as_many_heads_as_what_is_missing_asks_for():
    (group,) = grouped([seed("a"), seed("b")], 9, {})
    assert len(next_heads([group], 1, 16, (6, 2), 7)) == 3
    group.kept, group.heads = 8, 4
    heads = next_heads([group], 2, 16, (6, 2), 7)
    assert [head.id for head in heads] == ["r2-h0"]
    assert heads[0].parents == ["row-a", "row-b"]
    group.kept = 9
    assert next_heads([group], 3, 16, (6, 2), 7) == []


def test_tasks_that_begin_alike_share_one_weight():
    alike = [Task(f"Write a {n}", "write a") for n in range(30)]
    group = Group(None, "en", [seed("a")[0]], wanted=10**6, made=[*alike, Task("Go on", "go on")])
    heads = next_heads([group], 1, 20, (1, 1), 7)
    drawn = Counter(head.made[0] == "Go on" for head in heads)
    assert drawn[True] >= 4  # one in 31 without weights


def test_a_group_is_given_up_when_its_last_rounds_kept_too_little():
    group = Group(None, "en", [], wanted=10)
    for candidates, kept, is_exhausted in ((100, 9, False), (50, 0, False), (50, 1, False)):
        group.note(candidates, kept, 0.02, 3)
        assert group.is_exhausted is is_exhausted
    group.note(50, 1, 0.02, 3)
    assert group.is_exhausted
