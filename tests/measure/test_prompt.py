from __future__ import annotations

import pytest

from databuild.measure.prompt import measure_prompt
from tests.measure.columns import measured


def measure(prompt, material=None, **options):
    columns = {"prompt": [prompt], "input": [material]}
    return measured(measure_prompt, "prompt", columns, **{"input": "input", **options})


def faults(prompt, material=None, **options):
    [found] = measure(prompt, material, **options)["faults"]
    return found


@pytest.mark.parametrize(
    ("prompt", "material", "fault"),
    [
        (" \u200b", None, "blank"),
        (None, None, "blank"),
        ("Translate it.", "<noinput>", "placeholder_input"),
        ("Translate it.", "No input needed.", "placeholder_input"),
        ("Translate it.", "N/A", "placeholder_input"),
        ("Translate it.", "[insert your letter]", "placeholder_input"),
        ("翻译一下。", "无", "placeholder_input"),
        ("Write to Anna.", "Anna, my aunt\n<noinput>", "placeholder_input"),
        ("Translate the following sentence.", None, "missing_input"),
        ("Shorten this paragraph", "  ", "missing_input"),
        ("总结以下文章。", None, "missing_input"),
        ("Shorten the following article.", "Roses grew well in May.", "stub_input"),
        ("Sort the given list.", "A list of garden tools", "stub_input"),
        ("What grows in the photo?", None, "needs_media"),
        ("What is shown in this picture?", None, "needs_media"),
        ("Transcribe the interview.", None, "needs_media"),
        ("这张图片里有什么花？", None, "needs_media"),
        ("Draw a red rose bush", None, "makes_media"),
        ("Design a logo for our garden club.", None, "makes_media"),
        ("设计一个花店的海报", None, "makes_media"),
        ("Show the harvest of each year in a bar chart.", None, "makes_media"),
        ("What does this say?", "https://garden.example/roses", "needs_web"),
        ("Search the web for old roses.", None, "needs_web"),
        ("Where is the nearest hospital?", None, "needs_web"),
        ("上网查一下玫瑰的价格", None, "needs_web"),
        ("Book me a flight to Rome.", None, "needs_action"),
        ("Set an alarm for six.", None, "needs_action"),
        ("Open the garden door.", None, "needs_action"),
        ("帮我订一张机票", None, "needs_action"),
        ("Conduct a survey of ten gardeners.", None, "needs_action"),
        ("Create a calendar event for the rose show.", None, "needs_action"),
        ("What is on it?", "garden_may.jpg", "needs_media"),
        ("Describe a photo of a rose.", None, "needs_media"),
        ("What is the price of a rose bush?", None, "needs_lookup"),
        ("Find a good flower shop in Lyon.", None, "needs_lookup"),
        ("When does the botanical garden open?", None, "needs_lookup"),
        ("What is the latest news about the rose fair?", None, "needs_lookup"),
        ("Is the red rose bush still in stock?", None, "needs_lookup"),
        ("What is the status of my order?", None, "needs_lookup"),
        ("Which page speaks of roses?", None, "needs_lookup"),
        ("玫瑰花多少钱一束？", None, "needs_lookup"),
        ("附近有花店吗？附近的花店在哪里？", None, "needs_lookup"),
        ("Forecast the rose sales of next year.", None, "needs_forecast"),
        ("Who will win the garden show election?", None, "needs_forecast"),
        ("预测一下明年玫瑰的价格", None, "needs_forecast"),
        ("Describe your favorite garden.", None, "asks_of_self"),
        ("Tell of a rose show that was the best event you have visited.", None, "asks_of_self"),
        ("你最喜欢的花是什么？", None, "asks_of_self"),
        ("Find trends in the given data.", "Roses in the north of the town", "lacks_data"),
        ("Calculate the average height of the roses.", None, "lacks_data"),
        ("分析以下数据的趋势。", "玫瑰的销量", "lacks_data"),
        ("Correct the sentence.", None, "missing_input"),
        ("Summarize the story using short words", None, "missing_input"),
        ("Describe the main character.", None, "missing_input"),
        ("A rose is which of the following?", None, "missing_input"),
        ("翻译这段话。", None, "missing_input"),
        ("1. Write a poem on rain.\n2. Translate it into Latin.", None, "merged_tasks"),
        ("Write a poem. Translate it. Explain it. Then list its verbs.", None, "merged_tasks"),
        ("Name the colour.\nInput: rose\nOutput: red", None, "answer_inside"),
    ],
)
def test_prompts_that_cannot_be_answered(prompt, material, fault):
    assert faults(prompt, material) == [fault]


@pytest.mark.parametrize(
    ("prompt", "material"),
    [
        ("Translate this sentence: The roses bloom.", None),
        ('Shorten "The roses bloom all summer long in our garden".', None),
        ("Translate the following sentence.", "The roses bloom."),
        ("Translate the following sentence.\nThe roses bloom.", None),
        ("翻译下面的句子：玫瑰开了。", None),
        ("Shorten the following article.", "The roses bloomed in May. " * 12),
        ("Write a caption for a photo of roses", None),
        ("Write a Python program that draws a chart", None),
        ("Describe how a search engine ranks pages", None),
        ("How do airlines book a seat twice?", None),
        ("Translate it.", "I saw the video of the garden."),
        ("Write a Python script that downloads https://garden.example", None),
        ("Open questions of botany: name three", None),
        ("Write a poem. Make it rhyme.", None),
        ("Question: colour of coal?\nAnswer: black\nQuestion: of snow?\nAnswer:", None),
        ("Write to info@example.com and complain about the roses", None),
        ("为什么玫瑰有刺？", None),
        ("Why does the price of roses rise in winter?", None),
        ("What is the cost of 3 roses at 2 dollars each?", None),
        ("How do shops forecast the sales of roses?", None),
        ("Explain how shops forecast sales", None),
        ("Write a conversation about the latest news", None),
        ("Write a program that forecasts the weather of tomorrow", None),
        ("Imagine you are a gardener and describe your favorite garden.", None),
        ("Write five interview questions about your favorite garden", None),
        ("Find trends in the given data.", "May: 12, June: 30, July: 8"),
        ("Find trends in the given data.", "Roses, beans, leeks, mint"),
        ("Calculate the average height of the roses.", "Forty and sixty centimetres"),
        ("Write the formula and calculate the area of a circle", None),
        ("How would you train a model that knows roses?", None),
        ("Correct the sentence: roses is red", None),
        ("Summarize the story of Ruth", None),
        ("Describe the main character of Emma", None),
        ("🌹?", None),
    ],
)
def test_prompts_that_can(prompt, material):
    assert faults(prompt, material) == []


def test_material_may_stand_in_the_prompt():
    text = "Shorten the following article.\n\nRoses grew well in May."
    assert faults(text, input=None) == ["stub_input"]
    assert faults(text, input=None, min_document_words=5) == []


def test_tasks_are_counted():
    assert measure("Water the roses.")["n_tasks"] == [1]
    assert measure("1) Write a poem.\n2) Explain it.\n3) Name it.")["n_tasks"] == [3]
    assert measure(None)["n_tasks"] == [1]


@pytest.mark.parametrize(
    ("prompt", "code", "number"),
    [
        ("Write a function that waters roses.", True, False),
        ("Create a web page about roses", True, False),
        ("写一个浇水的程序", True, False),
        ("Name five ideas for an app", False, False),
        ("Find the average of 3, 4 and 8.", False, True),
        ("What is 12 times 12?", False, True),
        ("计算 3 + 4 的和", False, True),
        ("Write a function that adds 3, 4 and 8.", True, False),
        ("Name 3 roses that bloom in May.", False, False),
    ],
)
def test_what_is_asked_for(prompt, code, number):
    found = measure(prompt)
    assert (found["asks_for_code"], found["asks_for_calculation"]) == ([code], [number])


def test_faults_can_be_left_out():
    assert faults("Draw a rose bush on a poster", ignore="makes_media") == []
    with pytest.raises(ValueError, match="did you mean 'makes_media'"):
        faults("x", ignore="make_media")
