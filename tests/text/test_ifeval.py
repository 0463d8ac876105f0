from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from databuild.models.language import identify_languages
from databuild.text.ifeval import is_followed, judge, read_instruction, variants
from databuild.text.ifeval_rules import RULES, count_sentences, count_words


def identify(text: str) -> str:
    return identify_languages([text])[0][0]


EN = "The kettle sings on the stove while the rain knocks at the window."
# (instruction, kwargs, a text that follows it, one that does not)
CASES = [
    ("keywords:existence", {"keywords": ["kettle", "rain"]}, EN, "The kettle is cold."),
    ("keywords:existence", {"keywords": ["水壶", "雨"]}, "下雨天，水壶在响。", "水壶很凉。"),
    ("keywords:existence", {"keywords": ["c++"]}, "I write C++ at night.", "I write cc at night."),
    ("keywords:frequency", {"keyword": "tea", "frequency": 2, "relation": "at least"}, "Tea, more tea!", "One tea."),
    ("keywords:frequency", {"keyword": "茶", "frequency": 2, "relation": "less than"}, "一杯茶。", "茶和茶。"),
    ("keywords:forbidden_words", {"forbidden_words": ["can"]}, "The candle burns.", "It Can burn."),
    ("keywords:forbidden_words", {"forbidden_words": ["雨"]}, "今天出太阳。", "今天下雨了。"),
    ("keywords:forbidden_words", {"forbidden_words": ["Python"]}, "用Pythonic的写法", "我用Python写"),
    ("keywords:letter_frequency", {"letter": "z", "let_frequency": 2, "let_relation": "at least"}, "Zany zebra", "zoo"),
    ("keywords:letter_frequency", {"letter": "!", "let_frequency": 1, "let_relation": "less than"}, "Quiet.", "Loud!"),
    ("language:response_language", {"language": "de"}, "Der Kessel singt auf dem Herd, während draußen der Regen fällt.", EN),
    ("language:response_language", {"language": "zh"}, "水壶在炉子上唱歌，雨点敲着窗户。", EN),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "at least"}, "Rain fell. Dr. Moss slept.", "Dr. Moss slept, e.g. here."),
    ("length_constraints:number_sentences", {"num_sentences": 3, "relation": "less than"}, "下雨了。他睡了。", "下雨了。他睡了！真的吗？"),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "One here.\n***\nTwo there.", "One here.\n\nTwo there."),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "***\nOne\n***\nTwo\n***", "One\n***\n***\nTwo"),
    ("length_constraints:number_words", {"num_words": 4, "relation": "less than"}, "Rain at night", "Rain at night again"),
    ("length_constraints:number_words", {"num_words": 5, "relation": "at least"}, "夜里下着雨。", "夜里下雨。"),
    ("length_constraints:nth_paragraph_first_word", {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Later"}, "Rain.\n\nlater, sun.", "Later rain.\n\nSun."),
    ("length_constraints:nth_paragraph_first_word", {"num_paragraphs": 2, "nth_paragraph": 1, "first_word": "首先"}, "首先我们烧水。\n\n然后喝茶。", "我们首先烧水。\n\n然后喝茶。"),
    ("length_constraints:nth_paragraph_first_word", {"num_paragraphs": 2, "nth_paragraph": 1, "first_word": "rain"}, "'Rain' fell.\n\nSun.", "Rain fell.\n\nSun.\n\nFog."),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "Dear [name], come to [place].", "Dear [name\n], come."),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye.\n\nP.S. Bring tea.", "Bye.\n\nPS Bring tea."),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "Bye.\nP. P. S Bring tea.", "Bye.\nP.S. Bring tea."),
    ("detectable_content:postscript", {"postscript_marker": "附言"}, "再见。\n附言：带茶来。", "再见。"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "Pack:\n* tea\n  - a cup", "Pack:\n* tea\n**a cup**"),
    ("detectable_format:constrained_response", {}, "Well. My answer is maybe.", "Maybe."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*Tea* is **hot**.", "** ** and *tea*"),
    ("detectable_format:multiple_sections", {"section_spliter": "Part", "num_sections": 2}, "Part 1\nRain\nPart 2\nSun", "Part one\nRain\nPart 2\nSun"),
    ("detectable_format:multiple_sections", {"section_spliter": "第", "num_sections": 2}, "第一节 雨\n第2节 晴", "第一节 雨"),
    ("detectable_format:json_format", {}, '```json\n{"tea": ["hot", 2]}\n```', "{tea: hot}"),
    ("detectable_format:json_format", {}, "[1]", "[" * 100_000),
    ("detectable_format:title", {}, "<<A wet day>>\nRain.", "<< >>\n<A wet day>"),
    ("combination:two_responses", {}, "Tea.\n******\nCoffee.", "Tea.\n******\nTea."),
    ("combination:two_responses", {}, "喝茶。******喝咖啡。", "喝茶。"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Why does it rain?"}, "why does it rain? Clouds cool.", "Clouds. Why does it rain?"),
    ("startend:end_checker", {"end_phrase": "See you at the well."}, 'Bring tea. "See you at the WELL."', "See you at the well. Bye."),
    ("startend:end_checker", {"end_phrase": "再见。"}, "我走了。再见。\n", "再见。我走了。"),
    ("startend:quotation", {}, '"It rains."', '"It" rains.'),
    ("startend:quotation", {}, "“下雨了。”", "“It rains.”"),
    ("change_case:capital_word_frequency", {"capital_frequency": 2, "capital_relation": "at least"}, "NASA and the U.N. met.", "Nasa and the U.N. met."),
    ("change_case:capital_word_frequency", {"capital_frequency": 2, "capital_relation": "less than"}, "A well-KNOWN cat", "WELL-KNOWN I am"),
    ("change_case:english_capital", {}, EN.upper(), EN.upper() + " yes"),
    ("change_case:english_lowercase", {}, EN.lower(), EN),
    ("change_case:english_lowercase", {}, EN.lower(), "der kessel singt auf dem herd und draußen fällt der regen."),
    ("punctuation:no_comma", {}, "Rain and tea.", "Rain, tea."),
    ("punctuation:no_comma", {}, "下雨了。", "下雨了，喝茶。"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kwargs", "good", "bad"), CASES)
def test_a_text_that_follows_passes_and_one_that_does_not_fails(name, kwargs, good, bad):
    asked = read_instruction(name, kwargs)
    assert is_followed(asked, good, identify)
    assert not is_followed(asked, bad, identify)
    assert not is_followed(asked, " \n", identify)


def test_every_instruction_of_the_paper_has_a_case():
    assert len(RULES) == 25
    assert {name for name, *_ in CASES} == set(RULES)


def test_every_published_instruction_is_understood(shared_data):
    packed = (shared_data / "ifeval_prompts.jsonl.gz").read_bytes()
    rows = [json.loads(line) for line in gzip.decompress(packed).splitlines()]
    seen = set()
    for row in rows:
        for name, kwargs in zip(row["instruction_id_list"], row["kwargs"], strict=True):
            seen.add(read_instruction(name, kwargs).id)
    assert len(rows) == 195
    assert seen == set(RULES)


@pytest.mark.parametrize(
    ("name", "kwargs", "match"),
    [
        ("keywords:exist", {}, "did you mean 'keywords:existence'"),
        (None, {}, "unknown instruction None"),
        ("keywords:existence", {}, "needs `keywords`: a list of texts, not None"),
        ("keywords:existence", {"keywords": ["tea", " "]}, "a text"),
        ("keywords:existence", None, "a list of texts"),
        ("keywords:letter_frequency", {"letter": "ab", "let_frequency": 1, "let_relation": "at least"}, "one character"),
        ("length_constraints:number_words", {"num_words": 2.5, "relation": "at least"}, "a whole number from 0, not 2.5"),
        ("length_constraints:number_words", {"num_words": True, "relation": "at least"}, "a whole number"),
        ("length_constraints:number_words", {"num_words": 2, "relation": "at most"}, "'less than' or 'at least', not 'at most'"),
        ("length_constraints:number_paragraphs", {"num_paragraphs": -1}, "from 1"),
        ("length_constraints:nth_paragraph_first_word", {"num_paragraphs": 1, "nth_paragraph": 2, "first_word": "a"}, "paragraph 2 of too few"),
        ("language:response_language", {"language": "Punjabi"}, "a language code"),
        ("punctuation:no_comma", {"commas": 3}, "takes no `commas`"),
    ],
)  # fmt: skip
def test_what_cannot_be_understood_is_said(name, kwargs, match):
    with pytest.raises(ValueError, match=match):
        read_instruction(name, kwargs)


def test_null_kwargs_and_whole_floats_are_as_tables_hold_them():
    asked = read_instruction(
        "length_constraints:number_words",
        {"num_words": 3.0, "relation": "at least", "keywords": None},
    )
    assert asked.kwargs == {"num_words": 3, "relation": "at least"}


@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("", 0),
        ("...", 0),
        ("One", 1),
        ('He said "Go." She went.', 2),
        ("Wait... what? No!", 2),
        ("Wait... What?", 2),
        ("It costs 3.50 in the U.S. today.", 1),
        ("He left the U.S. She stayed.", 2),
        ("J. R. Moss wrote it. I did.", 2),
        ("Steps:\n1. Boil water.\n2. Add tea.", 2),
        ("He and I. They too.", 2),
        ("**Done.** Next.", 2),
        ("他说：“走吧。”我走了。", 2),
        ("真的吗？！好。", 2),
        ("no terminator\nat the line end", 1),
    ],
)
def test_sentences_are_counted_by_the_stated_rule(text, n):
    assert count_sentences(text) == n


def test_words_are_counted_by_the_stated_rule():
    texts = ("don't", "a_b c-d", "喝茶tea两杯", "", "…!", "コーヒー", "한국어 문장")
    assert [count_words(text) for text in texts] == [2, 3, 5, 0, 0, 4, 2]


def test_loosely_means_without_first_line_last_line_and_asterisks():
    asked = [
        read_instruction("startend:quotation", {}),
        read_instruction("punctuation:no_comma", {}),
        read_instruction("startend:end_checker", {"end_phrase": "the end."}),
    ]
    strict, loose = judge('Sure, here:\n*"The rain fell. The end."*\nBye, bye', asked, identify)
    assert strict == (False, False, False)
    assert loose == (True, True, True)
    assert judge("Fine, *The end.*", asked[1:], identify) == ((False, False), (False, True))


@given(st.text(alphabet='ab \n*,."[]<>#-。，中', max_size=60))
def test_strict_implies_loose_and_nothing_raises(text):
    asked = [read_instruction(name, kwargs) for name, kwargs, *_ in CASES]
    strict, loose = judge(text, asked, lambda _: "en")
    assert all(late or not early for early, late in zip(strict, loose, strict=True))
    assert text in variants(text)
