"""What models really answer, and the rules for it."""

from __future__ import annotations

import pytest

from databuild.generate.self_instruct_texts import (
    BANNED,
    Instance,
    faults_of,
    instance_faults,
    instances_in,
    instructions_in,
    is_classification,
    openings_of,
    type_of,
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("9. Name a fish.\n10. Name a bird.", ["Name a fish.", "Name a bird."]),
        ("Sure, here you are:\n\n9) **Name a fish.**\n\nEnjoy!", ["Name a fish."]),
        ("Task 9: Name a fish\nthat lives in rivers.", ["Name a fish that lives in rivers."]),
        ("第9个任务：写一首诗。\n10、说一个笑话。", ["写一首诗。", "说一个笑话。"]),
        ("任务 9：写一首诗。", ["写一首诗。"]),
        ("- Name a fish.\n* Name a bird.", ["Name a fish.", "Name a bird."]),
        ("9.\n10. Name 3. of them", ["Name 3. of them"]),
        ("", []),
        ("I cannot help with that.", []),
        ('{"tasks": ["Name a fish."', []),
        ("the the the the", []),
        ("\ufffd\u200b\u202e\u0000 🧪", []),
    ],
)
def test_tasks_are_read_from_whatever_list_there_is(text, found):
    assert instructions_in(text, is_cut=False) == found


def test_the_last_task_of_a_cut_answer_is_left_out():
    assert instructions_in("9. Name a fish.\n10. Name a b", is_cut=True) == ["Name a fish."]
    assert instructions_in("9. Name a b", is_cut=True) == []


def test_rules_for_tasks():
    texts = {
        "Name it.": "too short",
        "说诗": "too short",
        "word " * 12: "too long",
        "诗" * 12: "too long",
        "- name three red fruits": "starts with a sign",
        "《红楼梦》的作者是谁": None,
        "（请看上面的列表）": "starts with a sign",
        "Describe the IMAGE of a cat": "asks for the impossible: image",
        "Please go to the shop now": "asks for the impossible: go to",
        "请描述这张图片的内容": "asks for the impossible: 图片",
        "Imagery in old poems, please": None,
        "I forgot to eat lunch": None,
        "用四个字形容春天": None,
    }
    assert faults_of(list(texts), 4, 11, BANNED) == list(texts.values())
    assert faults_of([], 4, 11, BANNED) == []
    assert faults_of(["Describe the image of a cat"], 4, 11, ()) == [None]


def test_how_a_task_begins():
    assert openings_of(["Write a poem", "WRITE  a story", "写诗", "", "!"]) == [
        "write a", "write a", "写 诗", "", "",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Yes", True), (" **Yes**, it is", True), ("yes.", True), ("是。", True), ("是的", True),
        ("No", False), ("no, since", False), ("不是", False), ("否", False),
        ("Nobody knows", None), ("Maybe", None), ("", None), ("这是", None), ("🙂", None),
    ],
)  # fmt: skip
def test_yes_and_no(text, verdict):
    assert is_classification(text) is verdict


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Why is the sky blue?", "question"),
        ("How do bees find home", "question"),
        ("Explain why the sky is blue.", "generation"),
        ("天空为什么是蓝色的？", "question"),
        ("怎样煮面", "question"),
        ("写一首诗", "generation"),
        ("", "generation"),
    ],
)
def test_types(text, kind):
    assert type_of(text, classifies=False) == kind
    assert type_of(text, classifies=True) == "classification"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Input: 2\nOutput: 4", [("2", "4")]),
        ("**Input:** 2\n**Output:** 4", [("2", "4")]),
        ("Example 1\nInput: a\nb\nOutput: c\nd\n\nExample 2\nInput: e\nOutput: f",
         [("a\nb", "c\nd"), ("e", "f")]),
        ("Input: none\nOutput: Rain.", [("", "Rain.")]),
        ("输入：无\n输出：下雨。", [("", "下雨。")]),
        ("例子 1\n输入：二\n输出：四\n例子 2\n输入：三\n输出：六", [("二", "四"), ("三", "六")]),
        ("Output: Rain.", [("", "Rain.")]),
        ("Here you go.\nInput: N/A\nOutput: Rain.", [("", "Rain.")]),
        ("Input: 2\nOutput:", [("2", "")]),
    ],
)  # fmt: skip
def test_examples_with_the_input_first(text, found):
    assert instances_in(text, label_first=False, is_cut=False) == (found, "")


@pytest.mark.parametrize("text", ["", "Rain.", "Input: 2", '{"input": 2', "the the", "\x00\ufffd"])
def test_an_answer_without_an_example_is_unreadable(text):
    assert instances_in(text, label_first=False, is_cut=False) == ([], "unreadable")


def test_examples_with_the_label_first():
    text = "Example 1\nLabel: good\nInput: Sweet!\nExample 2\nClass label: bad\nInput: none"
    assert instances_in(text, label_first=True, is_cut=False) == (
        [("Sweet!", "good"), ("", "bad")],
        "",
    )
    assert instances_in("标签：好\n输入：真甜", label_first=True, is_cut=False)[0] == [
        ("真甜", "好")
    ]
    assert instances_in("Input: x\nLabel: good", label_first=True, is_cut=False)[0] == []


def test_what_was_cut_is_no_example():
    text = "Input: 2\nOutput: 4\nInput: 3\nOutput: 6 or rath"
    assert instances_in(text, label_first=False, is_cut=True) == ([("2", "4")], "")
    assert instances_in("Input: 2\nOutput: fo", label_first=False, is_cut=True) == ([], "cut")


def test_rules_for_examples():
    cases = {
        Instance("2", "4"): None,
        Instance("3", " "): "empty output",
        Instance("a  B", "A b"): "output is the input",
        Instance("", "double IT."): "output is the instruction",
        Instance("5", "The answer:"): "ends with a colon",
        Instance("6", "好："): "ends with a colon",
        Instance("7", "14"): "same input, other output",
        Instance("7", "15"): "same input, other output",
        Instance("2 ", "4"): "same example",
        Instance("", "eight"): None,
        Instance("", "nine"): "another answer",
    }
    assert instance_faults("Double it.", list(cases)) == list(cases.values())
