from __future__ import annotations

import pytest

from databuild.measure.answer import measure_answer
from tests.measure.columns import measured

LONG = "Roses need sun and water. In May they also need a careful hand that cuts the old wood and feeds"


def measure(response, asked=None, **options):
    columns = {"response": [response], "prompt": [asked]}
    return measured(measure_answer, "response", columns, **options)


def faults(response, asked=None, **options):
    [found] = measure(response, asked, **options)["faults"]
    return found


@pytest.mark.parametrize(
    ("response", "fault"),
    [
        (None, "empty"),
        (" \u200b\n", "empty"),
        ("N/A", "placeholder"),
        ("<nooutput> That is not possible.", "placeholder"),
        ("[your answer here]", "placeholder"),
        ("...", "placeholder"),
        ("此处省略", "placeholder"),
        ("Output: red roses.", "label"),
        ("助手：红玫瑰。", "label"),
        ("I'm sorry, but I can't help with roses.", "refusal"),
        ("I’m unable to provide a rose.", "refusal"),
        ("抱歉，我无法回答这个问题。", "refusal"),
        ("Well, my training data says roses are red.", "ai_talk"),
        ("作为人工智能语言，玫瑰对于我来说没有气味。", "ai_talk"),
        ("Roses. Click here. © 2020 Garden, all rights reserved.", "boilerplate"),
        ("点击查看更多玫瑰。", "boilerplate"),
        ("I have booked your flight.", "claims_deed"),
        ("I created a logo for the garden club.", "claims_deed"),
        ("Roses need sun and", "cut"),
        ("Roses need sun, water, and the", "cut"),
        (LONG, "cut"),
        ("玫瑰需要阳光、水和", "cut"),
        ("玫瑰喜欢这样的土壤，因为", "cut"),
        ("浇水的时间取决于", "cut"),
        ("照料玫瑰的步骤如下：", "cut"),
        ("玫瑰需要阳光。它的叶子在春天", "cut"),
        ("玫瑰需要阳光。\n\n到了夏天，每天都要浇水", "cut"),
        ("1. 浇水要早。\n2. 冬天要把根部盖", "cut"),
        ("1. 浇水要早。冬天的根部要盖好土", "cut"),
        (
            "春天的玫瑰园里有很多人在散步和拍照，他们都喜欢红色的花朵，也有人只是坐着看花坛里的蜜蜂",
            "cut",
        ),
        ("So:\n```\nwater()", "open_fence"),
        ("Roses need sun (and some rain.", "open_bracket"),
        ("玫瑰（红色", "open_bracket"),
        ('She said: "Roses need sun.', "open_quote"),
        ("她说：“玫瑰需要阳光。", "open_quote"),
    ],
)
def test_answers_that_are_none_or_break_off(response, fault):
    assert faults(response) == [fault]


@pytest.mark.parametrize(
    "response",
    [
        "Roses need sun.",
        "red",
        "Rosa canina",
        "- roses\n- beans and peas of the old kind that my grandmother grew in her garden by the sea",
        "# Roses for the small garden: what they need, and what they can live without in winter",
        "Water them! Then wait for the bees and the sun of the long days to come #roses",
        "玫瑰需要阳光和水。",
        "玫瑰，月季",
        "玫瑰、月季、牡丹、兰花、菊花、茉莉花",
        "春天的玫瑰花园",
        "红红的花儿开满园，\n绿绿的叶子围在边",
        "玫瑰很美。\n月季",
        "玫瑰需要阳光。\n- 水\n- 肥沃而疏松的土壤",
        "1. 阳光要充足\n2. 每周浇水一次",
        "祝花园越来越美！\n\n此致\n敬礼",
        "花园在夏天需要很多水。 #花园的夏天",
        "1. 看花\n2. 浇水\n请选择您要做的事：",
        "这是玫瑰现在的样子和它过去的存在",
        "这些都是园丁的行为",
        "1) sun 2) rain :(",
        'The 5" pot, the 6" pot.',
        "Use `water()`",
        "def water(roses):\n    for rose in roses:\n        x = 1\n    return a",
        "玫瑰（Rosa)是红色的。",
        "```\nwater(\n```",
        "None",
        "0",
        "The gardener was unable to help with the roses.",
        "An aid worker said: as an aid, roses do little.",
        "🌹",
    ],
)
def test_good_answers(response):
    assert faults(response) == []


@pytest.mark.parametrize(
    ("prompt", "response", "fault"),
    [
        ("What do roses need in May?", "What do roses  need in may? Sun.", "copies_prompt"),
        ("What do roses need in May?\nBe brief.", "What do roses need in May?", "copies_prompt"),
        ("Write a function that waters roses.", "Take a can and pour.", "no_code"),
        ("What is 12 * 12?", "144", "unworked"),
        ("Find the average.\n3, 4, 8", "The average is 5.", "unworked"),
        (
            "Design a garden for two.",
            "The garden should have two beds and a bench.",
            "describes_only",
        ),
        ("Write an essay on roses.", "Roses are red.", "too_short"),
        ("Explain why roses need sun.", "They just do.", "too_short"),
        ("解释玫瑰为什么有刺。", "为了自保。", "too_short"),
        ("Praise roses in no more than 5 words.", "Roses " * 9 + "bloom.", "wrong_length"),
        ("Write at least 30 words on roses.", "Roses are red.", "wrong_length"),
        ("Write a 200-word poem on roses.", "Roses bloom in May. " * 10, "wrong_length"),
        ("Praise roses in one sentence.", "Roses bloom. I like it. So do you.", "wrong_length"),
        ("Tweet on roses in 40 characters or less.", "Roses bloom in May " * 4, "wrong_length"),
        ("用不超过10个字赞美玫瑰。", "玫瑰红得像火，香得像酒，人人都爱它。", "wrong_length"),
        ("Write a line using the words: harbour, rose.", "A rose blooms.", "misses_words"),
        ("Use the words “garden” and “winter” in a line.", "In winter it snows.", "misses_words"),
        (
            "Rewrite it politely.\nBring me the old roses.",
            "Bring me the old roses.",
            "same_as_input",
        ),
        ('Correct "She water the roses daily."', "She water the roses daily.", "same_as_input"),
        ("改写这句话。\n玫瑰在五月里开得最好看了。", "玫瑰在五月里开得最好看了。", "same_as_input"),
        (
            "Summarize the text.\nThe roses of the old garden bloomed late this year.",
            "The roses, which are the pride of the town, bloomed late because the spring was cold.",
            "longer_summary",
        ),
        ("Translate into Russian: red roses", "red roses, or so they say", "wrong_language"),
        ("翻译成英文：玫瑰很红", "玫瑰红", "wrong_language"),
        (
            "请告诉我玫瑰为什么会有这么多刺。",
            "Roses have thorns to keep deer away.",
            "wrong_language",
        ),
        ("Why do roses have thorns?", "玫瑰有刺是为了不让鹿来吃。", "wrong_language"),
        (
            "Give this letter a politeness score.\nHand me my roses, please.",
            "Its politeness is 0.7 on the whole.",
            "invented_figure",
        ),
    ],
)
def test_answers_that_miss_what_was_asked(prompt, response, fault):
    assert faults(response, prompt) == [fault]
    assert faults(response, prompt, ignore=fault) == []
    assert faults(response, prompt, prompt=None) == []


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        ("Define rain.", "Rain is water that falls."),
        ("Define rain.", "define rain."),
        ("Write a function that waters roses.", "def water(roses): ..."),
        ("What is 12 * 12?", "12 * 10 = 120 and 12 * 2 = 24, so it is 144."),
        ("Name three roses.", "Gallica, Alba, Damask"),
        ("Write a short story on roses.", "A rose grew. It was picked."),
        ("Explain in one word what roses need.", "Sun."),
        ("Describe roses with three adjectives.", "Red, sweet, thorny."),
        ("Praise roses in no more than 5 words.", "Roses are simply the best."),
        ("Write a 10-word line on roses.", "Roses bloom in May, and then all is well again."),
        ("Write a play with 3 characters.", "ANNA: Roses! BEN: Yes. CARL: No, tulips, of course."),
        ("Write 3 tips of 20 words each.", "1. Water. 2. Prune. 3. Wait."),
        ("Write a line using the words: harbour, rose.", "Roses grow at the harbours."),
        ("Write a line without the words: harbour, rose.", "It rains."),
        ("Rewrite it politely.\nBring me the old roses.", "Please bring me the old roses."),
        ("Correct it if needed.\nShe waters the roses.", "She waters the roses."),
        ("Summarize the text.\nRoses bloom.", "It says that roses bloom in this place."),
        ("Translate into Russian: red roses", "красные розы"),
        ("翻译成英文：玫瑰很红", "The roses are red."),
        ("用英文介绍一下你们那里的玫瑰花园吧。", "Our garden has a hundred roses."),
        ("Write it in Chinese: roses are red", "玫瑰是红色的。"),
        ("Give this letter a score from 1 to 5.\nHand me my roses.", "I give it a 2."),
        ("How many petals has a rose?", "It has 5."),
    ],
)
def test_answers_that_hit_it(prompt, response):
    assert faults(response, prompt) == []


def test_the_copied_share_is_of_distinct_tokens():
    assert measure("red roses, red", "Are roses red or blue?")["copy_ratio"] == [1]
    assert measure("玫瑰红", "玫瑰")["copy_ratio"] == [2 / 3]
    assert measure(None, "Are roses red?")["copy_ratio"] == [0]
    assert measure("red", None)["copy_ratio"] == [0]


def test_material_may_be_a_column():
    columns = {"prompt": ["Find the sum."], "input": ["3, 4"], "response": ["7"]}
    found = measured(measure_answer, "response", columns, input="input")
    assert found["faults"] == [["unworked"]]
    assert found["copy_ratio"] == [0]


def test_limits_are_options():
    assert faults("The sum is 7.", "Find the sum of 3 + 4.", worked_words=3) == []
    assert faults("Roses are red.", "Write an essay on roses.", long_words=2) == []
    with pytest.raises(ValueError, match="did you mean 'refusal'"):
        faults("x", ignore="refusals")


def test_flags_are_columns():
    found = measure("I'm sorry, but I can't help; as an AI I have no")
    assert (found["is_refusal"], found["is_ai_talk"], found["is_cut"]) == ([True], [True], [False])
