"""What models answer when asked for a rewrite, nasty answers first."""

from __future__ import annotations

import pytest

from databuild.generate import rewriting
from databuild.generate.verdicts import critic_is_content, without_verdict

ORIGINAL = "Why is the sky blue?"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("  What makes it blue?\n", "What makes it blue?"),
        ("#Rewritten Prompt#:\nWhat makes it blue?", "What makes it blue?"),
        ("#New Text#\nWhat makes it blue?", "What makes it blue?"),
        ("**Rewritten prompt:** What makes it blue?", "What makes it blue?"),
        (
            "Here's a rewritten version of the prompt:\n\n“What makes it blue?”",
            "What makes it blue?",
        ),
        ("好的，以下是改写后的文本：\n天为何是蓝的？", "天为何是蓝的？"),
        ("改写后的提示：「天为何是蓝的？」", "天为何是蓝的？"),
        ('"Blue" and "red" are "colours"', '"Blue" and "red" are "colours"'),
        ("Translation is hard.", "Translation is hard."),
        ("新的一天开始了。", "新的一天开始了。"),
        ("", ""),
        ('"', '"'),
    ],
)
def test_the_frame_is_taken_off_and_nothing_else(answer, text):
    assert rewriting.without_frame(answer) == text
    assert rewriting.without_frame(text) == text


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no words"),
        ("?!… \u200b", "no words"),
        ("I’m sorry, but I can't help with that.", "a refusal"),
        ("很抱歉，我无法改写。", "a refusal"),
        ("The given prompt asks about the sky.", "a leftover of the prompt"),
        ("#文本# 天为何是蓝的", "a leftover of the prompt"),
        ("the sky is so blue " * 10, "one passage again and again"),
        ("天空很蓝" * 10, "one passage again and again"),
        ("What makes the sky blue?", None),
    ],
)
def test_what_is_no_text_is_named(text, fault):
    assert rewriting.unusable(text, ORIGINAL) == fault
    # What stands in the original is no fault of the rewrite.
    assert rewriting.unusable(text, text) == ("no words" if fault == "no words" else None)


def test_a_text_that_was_cut_off_is_no_rewrite():
    assert rewriting.unusable("What makes", ORIGINAL, is_cut=True) == "cut off at max_tokens"


def test_equal_and_nearly_equal_are_told_apart_from_new():
    assert rewriting.changed_too_little("ＷHY is the sky -- blue", ORIGINAL, 0.95) == (
        "equal to the original"
    )
    long = "The quick brown fox jumps over the lazy dog and runs into the dark green forest again"
    assert rewriting.changed_too_little(f"{long}s", long, 0.95) == "nearly equal to the original"
    assert rewriting.changed_too_little(f"{long}s", long, 1.0) is None
    assert rewriting.changed_too_little("天为何是蓝的", "天为什么是蓝的", 0.95) is None


def test_lengths_are_held_to_the_ratios():
    assert rewriting.wrong_length("a" * 121, "b" * 40, (0.4, 2.5), 20) == (
        "far longer than the original"
    )
    assert rewriting.wrong_length("a" * 120, "b" * 40, (0.4, 2.5), 20) is None
    assert rewriting.wrong_length("a" * 19, "b" * 100, (0.4, 2.5), 20) == (
        "far shorter than the original"
    )
    assert rewriting.wrong_length("a" * 20, "b" * 100, (0.4, 2.5), 20) is None


@pytest.mark.parametrize(
    ("original", "text", "fault"),
    [
        ("See https://a.org/x.", "Look at https://a.org/x", None),
        ("See https://a.org/x.", "Look at https://a.org/y", "a link was lost"),
        ("Run `ls -l` now", "Now run ls -l", "code was lost"),
        ("Say “quiet cities” twice", 'Twice say "Quiet cities"', None),
        ('Say "quiet cities"', "Say silent towns", "a quoted text was lost"),
        ("《红楼梦》讲什么？", "《水浒传》讲什么？", "a quoted text was lost"),
        ("1,000 men", "a host of 1000", None),
        ("３ cats", "three cats", None),
        ("三只猫", "3只猫", None),
        ("30 cats", "three cats", "a number was lost"),
        ("3.5 km", "35 km", "a number was lost"),
        ("some cats", "7 cats", "a number was added"),
    ],
)
def test_what_must_survive_is_missed(original, text, fault):
    found = rewriting.lost(text, original)
    assert (found or "").split(":")[0] == (fault or "")
    assert rewriting.lost(original, original) is None


def test_a_change_of_script_is_seen():
    assert rewriting.other_script("Why?", "为什么？") == "in another language"
    assert rewriting.other_script("为什么？", "Why?") == "in another language"
    assert rewriting.other_script("空は青い", "天空是蓝的") == "in another language"
    assert rewriting.other_script("为何用 Python？", "为什么用 Python？") is None


@pytest.mark.parametrize(
    ("critique", "content"),
    [
        ("VERDICT: FINE", True),
        ("Clear and right.\n\n**Verdict:** Fine.", True),
        ("`VERDICT: FINE`", True),
        ("[VERDICT: OK]", True),
        ("很清楚。\n结论：无需修改", True),
        ("最终结论: 不需要修改。", True),
        ("No changes are needed.", True),
        ("这个回答没有问题。", True),
        ("VERDICT: REVISE", False),
        ("VERDICT: FINE\nOn reflection 5 is wrong.\nVERDICT: REVISE", False),
        ("VERDICT: FINE / REVISE", False),
        ("结论：需要修改", False),
        ("结论：无需修改或需要修改", False),
        ("The answer is fine, but it forgets the date.", False),
        ("", False),
        ("fine fine fine fine", False),
    ],
)
def test_a_content_critic_is_understood_and_no_other(critique, content):
    assert critic_is_content(critique) is content


def test_the_critique_is_kept_without_its_verdict():
    assert without_verdict("日期不对。\n结论：需要修改") == "日期不对。"
    assert without_verdict("VERDICT: REVISE. The date is wrong.") == "The date is wrong."


def test_thoughts_are_no_part_of_a_rewrite_and_open_ones_make_it_useless():
    assert rewriting.without_frame("<think>a\nb</think>\n\nNew text: Why?") == "Why?"
    assert rewriting.without_frame("Hm, hm.</think> Why?") == "Why?"  # opened in the prompt
    assert rewriting.without_frame("Why is <b>this</b> so?") == "Why is <b>this</b> so?"
    assert rewriting.unusable("<think>Well, why", "Why?") == "thoughts are not closed"
    assert rewriting.unusable("What does <think> mean?", "Explain <think>.") is None
