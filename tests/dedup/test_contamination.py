from __future__ import annotations

import json
import string
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from databuild.dedup import searching
from databuild.dedup.contamination import ContaminationConfig, drop_contaminated
from databuild.engine.parts import Parts
from databuild.errors import SchemaError, StepError

if TYPE_CHECKING:
    from pathlib import Path

FERRY = (
    "A ferry carries 45 cars on every trip and makes 6 trips a day. On Sunday it makes two trips "
    "less. How many cars does it carry from Monday to Sunday?"
)
BAKER = (
    "A baker uses 3 eggs for a cake and 5 for a tart. She bakes twice as many cakes as tarts and "
    "has 88 eggs. How many tarts does she bake?"
)
SKY = "Which colour has the evening sky on Mars, seen from the ground?"
SHORT = "Who tamed the winds of Ogygia?"
ZH = "一艘渡轮每次运送四十五辆汽车，每天往返六次，星期天少开两次，请问一周一共运送多少辆汽车？"
EXAM: list[str | None] = [FERRY, BAKER, SKY, SHORT, ZH]


def table(texts: list[str | None], name: str = "prompt", prefix: str = "r") -> pl.DataFrame:
    ids = [f"{prefix}{i:04d}" for i in range(len(texts))]
    return pl.DataFrame(
        {"row_id": pl.Series(ids, dtype=pl.String), name: pl.Series(texts, dtype=pl.String)}
    )


def check(texts: list[str | None], exam: list[str | None] = EXAM, **options: Any) -> Any:
    config = ContaminationConfig(in_columns="question", **options)
    return drop_contaminated(table(texts), config, exam=table(exam, "question", "x"))


def hits(texts: list[str | None], exam: list[str | None] = EXAM, **options: Any) -> list[int]:
    found = check(texts, exam, **options).table
    return [int(row_id[1:]) for row_id in found.filter(part="dropped")["row_id"].sort()]


def proof(text: str, **options: Any) -> dict[str, Any]:
    (evidence,) = check([text], **options).table["evidence"]
    return json.loads(evidence)


def lookalike(text: str) -> str:
    return text.translate(str.maketrans("aeopcxyABEHMOT", "аеорсхуАВЕНМОТ"))


DISGUISES = {
    "verbatim": lambda t: t,
    "case": str.upper,
    "white space": lambda t: "\n " + t.replace(" ", " \t\n"),
    "punctuation": lambda t: t.replace(" ", " – ").replace(".", " !!!"),
    "embedded": lambda t: "x y z " * 200 + t + " and so on" * 200,
    "look-alikes": lookalike,
    "zero-width": "\u200b".join,
    "full-width": lambda t: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in t),
    "decomposed": lambda t: t.replace("two", "ﬁve").replace("every", "e\u0301very"),
}


@pytest.mark.parametrize("item", [FERRY, BAKER])
@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_copy_in_disguise_is_found_and_shown(disguise, item):
    text = DISGUISES[disguise](item)
    found = proof(text)
    assert found["set"] == "exam"
    assert found["item"] == f"x{EXAM.index(item):04d}"
    assert found["share"] >= 0.9
    shown = text[found["start"] : found["end"]]
    assert found["text"] == shown[:200]
    clean = shown.replace("\u200b", "")
    assert len(clean.split()) >= len(item.split()) - 2
    if disguise == "embedded":
        assert shown == item.rstrip("?")


def test_the_span_of_a_text_with_invisible_and_wide_characters_is_in_the_text_as_it_is():
    text = f"🙂 ｗｅｌｌ\u200b: \ufeff{FERRY[:20]}\u00ad{FERRY[20:]} 好"
    found = proof(text)
    assert text[found["start"] : found["end"]].replace("\u00ad", "") == FERRY.rstrip("?")


words = st.sampled_from([a + b + c for a in "bdfgklm" for b in "aeiou" for c in "nrstxyz"])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_copy_with_a_tenth_of_its_words_replaced_is_always_found(data):
    item = data.draw(st.lists(words, min_size=10, max_size=69, unique=True))
    places = data.draw(
        st.lists(
            st.integers(0, len(item) - 1), max_size=len(item) // 10,
            min_size=len(item) // 10, unique=True,
        )
    )  # fmt: skip
    edited = ["Qq" if place in places else word for place, word in enumerate(item)]
    before, after = data.draw(st.lists(words, max_size=40)), data.draw(st.lists(words, max_size=40))
    text = " ".join([*before, "oo", *edited, "oo", *after])
    assert hits([text, " ".join([*before, *after])], [" ".join(item)]) == [0]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(string.printable + "\x00\x1f\x7f", max_size=60), max_size=8))
def test_texts_of_ascii_are_cut_into_the_tokens_of_the_exam(texts):
    # The exam's tokens are those of `text.tokens`; a text is found word for word in itself.
    found = check(texts, texts, min_tokens=1, max_items=100)
    n_tokens = [len(one) for one in table(texts)["prompt"].str.extract_all(r"\w+").to_list()]
    dropped = set(found.table.filter(part="dropped")["row_id"])
    assert dropped == {f"r{i:04d}" for i, n in enumerate(n_tokens) if n}
    shares = [json.loads(one)["share"] for one in found.table["evidence"].drop_nulls()]
    assert shares == [1.0] * len(shares)


def test_evidence_says_which_n_and_how_long_the_run_is():
    whole = proof(FERRY)
    assert (whole["n"], whole["share"], whole["items"]) == (13, 1.0, 1)
    assert whole["run"] == len(FERRY.replace("?", "").split())
    split = FERRY.split()
    split[3] = split[12] = split[21] = "zebra"
    edited = proof(" ".join(split))
    assert edited["n"] == 8
    assert edited["run"] == 8
    near = " ".join("zebra" if place in {5, 11} else w for place, w in enumerate(SKY.split()))
    assert check([near]).facts["by_n"] == {"13": 0, "8": 0, "shorter": 0}
    near = " ".join("zebra" if place == 5 else w for place, w in enumerate(SKY.split()))
    assert proof(near)["n"] is None
    assert check([near]).facts["by_n"] == {"13": 0, "8": 0, "shorter": 1}
    assert hits([near], edited=False) == []


def test_answers_in_another_order_are_the_same_item():
    question = "Which of these mills was built by the harbour of the old town?"
    options = [
        "the red mill that the weavers of the upper village paid for together",
        "the tall mill with six sails on the hill behind the church",
        "the tide mill whose wheel turns twice a day without any wind",
    ]
    item = " ".join([question, *options])
    assert hits([" ".join([*reversed(options), question])], [item]) == [0]
    assert hits([options[2], f"{question} Nobody knows, says the miller."], [item]) == []


def test_what_only_sounds_alike_is_kept():
    others = [
        "A ferry carries 45 cars.",
        "How many cars does it carry from Monday to Sunday?",
        "A baker bakes cakes and tarts. How many eggs does she need for a cake?",
        "Which colour has the morning sky on Mars?",
        "渡轮每天往返六次。",
        "Who tamed the winds?",
        "Hi",
    ]
    assert hits(others) == []


def test_half_of_a_long_item_is_the_threshold():
    split = FERRY.split()
    part = " ".join(split[: len(split) * 7 // 10])
    assert hits([part], min_share=0.6) == [0]
    assert hits([part], min_share=0.8) == []


def test_the_exams_own_wording_counts_for_nothing():
    rule = (
        "Read the question below, think step by step, take as long as you like, and then write "
        "nothing but the letter of the answer on a line of its own."
    )
    asked = [f"What do the {name} of the marsh eat in spring and late autumn?" for name in
             ("herons", "voles", "otters", "frogs", "snipes", "storks", "toads", "eels")]  # fmt: skip
    exam = [f"{rule} {question}" for question in asked]
    rows = [f"{rule} Why is the sea salty at all of its {i} coasts?" for i in range(50)]
    assert hits([*rows, exam[3]], exam) == [50]
    assert hits([rule], exam) == []
    # With no limit the wording counts, and 29 of 41 words are more than half.
    assert len(hits([*rows, exam[3]], exam, max_items=1000)) == 51


def test_an_item_that_is_nearly_all_common_wording_must_be_there_word_for_word():
    exam = [f"Give the capital of the country that is named at the end: {name}" for name in
            ("Peru", "Chad", "Laos", "Mali", "Cuba", "Oman", "Togo")]  # fmt: skip
    assert hits([exam[2], exam[2].replace("Laos", "Iran")], exam) == [0]


def test_a_saying_that_many_rows_hold_does_not_make_them_contaminated():
    saying = "the early bird catches the worm but the second mouse gets the cheese"
    item = f"A poster says that {saying}. A school prints 40 of them on Monday and 25 more on Friday. Each costs 3 coins. What did all posters cost?"
    rows = [f"My uncle, number {i}, always said that {saying}!" for i in range(200)]
    assert hits([*rows, item], [item]) == [200]


def test_short_items_must_be_there_whole_and_very_short_ones_are_counted():
    exam = [SHORT, "Why so?", "你好吗", "茶的故乡在哪里呢请回答"]
    found = check(
        [f"Say: {SHORT}", "Why so?", "你好吗", "Who tamed the wild winds of Ogygia"], exam
    )
    assert found.table["part"].to_list() == ["dropped", "kept", "kept", "kept"]
    (told,) = found.facts["sets"]
    assert told == {"set": "exam", "items": 4, "too_short": 2, "rows_hit": 1, "items_hit": 1}
    assert hits(["well, why so? I ask"], exam, min_tokens=2) == [0]
    assert hits(["他问茶的故乡在哪里呢请回答我"], exam) == [0]


def test_chinese_copies_with_edited_characters_are_found():
    edited = ZH.replace("渡轮", "游轮").replace("一周", "七天")
    assert hits([ZH, f"题目：{edited}谢谢", "请问一周一共有多少天？"]) == [0, 1]


@pytest.mark.parametrize(
    ("texts", "exam"),
    [
        ([], EXAM),
        ([FERRY, None], []),
        ([FERRY], [None, "", " ", "Hm"]),
        ([], []),
        (["", "  ", None, "a"], EXAM),
    ],
)
def test_nothing_to_find_is_no_trouble(texts, exam):
    found = check(texts, exam)
    assert found.table["part"].to_list() == ["kept"] * len(texts)
    assert found.table.schema["evidence"] == pl.String
    assert found.facts["rows_hit"] == 0
    assert "none of" in found.facts["card"]


def test_an_exam_that_is_the_training_set_drops_it_all():
    assert hits(EXAM, EXAM) == [0, 1, 2, 3, 4]


def test_the_order_and_the_batches_of_rows_do_not_matter(monkeypatch):
    texts = [None, FERRY, "x " * 50, f"{BAKER} {FERRY}", lookalike(SKY), "e\u0301 " + ZH, ""] * 3
    whole = check(texts)
    monkeypatch.setattr(searching, "_BATCH_ROWS", 2)
    rows = table(texts).sample(fraction=1.0, shuffle=True, seed=3)
    config = ContaminationConfig(in_columns="question")
    again = drop_contaminated(rows, config, exam=table(EXAM, "question", "x"))
    assert again.table.sort("row_id").equals(whole.table.sort("row_id"))
    assert again.facts == whole.facts
    assert whole.facts["rows_hit"] == 12


def test_a_row_with_several_items_tells_the_one_of_which_it_has_most():
    cut = " ".join(BAKER.split()[:24])
    found = proof(f"{cut}. {FERRY}")
    assert found["item"] == "x0000"
    assert found["items"] == 2


def test_every_turn_of_a_conversation_is_searched():
    turns = [
        ("system", "Be kind."),
        ("user", f"Please solve: {FERRY}"),
        ("assistant", "1,800"),
        ("user", "Thanks!"),
    ]
    talk = [{"role": role, "content": content} for role, content in turns]
    rows = table(["Thanks!", "Hi"]).with_columns(messages=pl.Series([talk, None]))
    config = ContaminationConfig(in_columns="question")
    exam = table(EXAM, "question", "x")
    found = drop_contaminated(rows, config, exam=exam).table
    told = json.loads(found["evidence"][0])
    assert (told["column"], told["turn"]) == ("messages", 1)
    assert turns[1][1][told["start"] : told["end"]] == FERRY.rstrip("?")
    config = ContaminationConfig(in_columns="question", messages=None)
    assert drop_contaminated(rows, config, exam=exam).facts["rows_hit"] == 0


def test_several_columns_and_lists_on_both_sides():
    rows = table(["Hi", "Hi", "Hi"]).with_columns(
        response=pl.Series(["ok", FERRY, "ok"]), drafts=pl.Series([["a", BAKER], [], None])
    )
    exam = pl.DataFrame({"row_id": ["x"], "stem": [FERRY], "choices": [BAKER.split(". ")]})
    config = ContaminationConfig(
        columns=["prompt", "response", "drafts"], in_columns=["stem", "choices"]
    )
    found = drop_contaminated(rows, config, exam=exam)
    told = [json.loads(one) if one else None for one in found.table["evidence"]]
    assert [(one["column"], one.get("turn")) if one else None for one in told] == [
        ("drafts", 1), ("response", None), None,
    ]  # fmt: skip
    assert found.facts["sets"][0]["items"] == 1
    assert found.facts["sets"][0]["items_hit"] == 1


def test_sets_are_counted_by_name_and_say_where_the_item_came_from():
    place = {"source_file": ["e.jsonl"] * 2, "source_record": [70, 140]}
    first = table([BAKER, FERRY], "question", "x").with_columns(
        **{k: pl.Series(v) for k, v in place.items()}
    )
    second = table([FERRY, SKY], "question", "y")
    rows = table([FERRY, SKY, "Hello", FERRY.lower()])
    config = ContaminationConfig(in_columns="question")
    found = drop_contaminated(rows, config, None, zebra=first, quiz=second)
    assert [(one["set"], one["rows_hit"], one["items_hit"]) for one in found.facts["sets"]] == [
        ("quiz", 3, 2), ("zebra", 2, 1),
    ]  # fmt: skip
    assert found.table["reason"].to_list() == ["contaminated: quiz"] * 2 + [
        None,
        "contaminated: quiz",
    ]
    assert [(one["item"], one["rows"]) for one in found.facts["top_items"]] == [
        ("y0000", 2),
        ("y0001", 1),
    ]
    assert found.facts["card"] == (
        "Checked against quiz (2 items), zebra (2 items): 3 of 4 rows held 3 items between them, "
        "whole or edited, and were dropped."
    )
    told = json.loads(drop_contaminated(rows, config, first).table["evidence"][0])
    assert (told["set"], told["source_file"], told["source_record"]) == ("against", "e.jsonl", 140)


def test_more_hits_than_allowed_stop_the_run_with_the_numbers():
    assert hits([FERRY, SKY, "Hi"], max_hits=2) == [0, 1]
    wanted = r"3 of 4 rows hold items of test sets, more than max_hits 2: exam 3 \(2 items\); most often exam x0000 \(2 times\): 'A ferry .*show <step>\.dropped"
    with pytest.raises(StepError, match=wanted):
        check([FERRY, FERRY, SKY, "Hi"], max_hits=2)


def test_wrong_inputs_are_refused():
    config = ContaminationConfig(in_columns="question")
    with pytest.raises(StepError, match="no test set"):
        drop_contaminated(table([FERRY]), config)
    numbers = pl.DataFrame({"row_id": ["x"], "question": [1]})
    with pytest.raises(SchemaError, match="'question' of 'exam' holds Int64"):
        drop_contaminated(table([FERRY]), config, exam=numbers)
    with pytest.raises(SchemaError, match="'prompt' holds Int64"):
        drop_contaminated(
            numbers.rename({"question": "prompt"}), config, exam=table(EXAM, "question")
        )
    with pytest.raises(ValueError, match="3 tokens or more"):
        ContaminationConfig(ngrams=(2, 8))


@pytest.mark.slow
def test_a_row_of_five_megabytes_is_searched_to_its_end():
    words = np.random.default_rng(1).integers(0, 90_000, 900_000).astype(str)
    long = " ".join([*words[:700_000], FERRY, *words[700_000:]])
    assert len(long) > 4_500_000
    found = proof(long)
    assert long[found["start"] : found["end"]] == FERRY.rstrip("?")


def test_a_row_that_says_one_phrase_for_ever_is_no_trouble():
    phrase = " ".join(FERRY.split()[:9])
    assert hits([f"{phrase}. " * 20_000, "a " * 500_000, "ba " * 99]) == []
    assert hits(["a " * 500_000], ["a " * 40]) == [0]


def test_plants_in_real_rows_are_found_and_real_rows_are_left(shared_data: Path):
    sets = pl.read_parquet(shared_data / "bench_testsets.parquet")
    exam = sets.filter(benchmark="gsm8k").select(
        pl.format("x{}", pl.int_range(pl.len())).alias("row_id"), question="text"
    )
    real = pl.concat(
        [
            pl.read_parquet(shared_data / name).select(pl.concat_str(pl.exclude("seen_in", "category"), separator="\n", ignore_nulls=True).alias("t"))
            for name in ("alpaca_en.parquet", "dolly_3k.parquet")
        ]
    )["t"].to_list()  # fmt: skip
    rng = np.random.default_rng(5)
    planted = []
    for text in exam["question"]:
        split = text.split()
        for place in rng.permutation(len(split))[: len(split) // 10]:
            split[place] = "zebra"
        planted += [text.upper(), " ".join(split), f"{real[3]} {text} {real[4]}"]
    config = ContaminationConfig(in_columns="question")
    found = drop_contaminated(table([*planted, *real]), config, gsm8k=exam).table
    assert found["part"].to_list() == ["dropped"] * len(planted) + ["kept"] * len(real)


def test_rows_in_parts_are_judged_as_in_one_table():
    rows = table([FERRY, "Hello", None, f"Well: {BAKER}", "Bye"])
    exam = Parts.of(table(EXAM, "question", "x")[:2], table(EXAM, "question", "x")[2:])
    config = ContaminationConfig(in_columns="question")
    whole = drop_contaminated(rows, config, exam=table(EXAM, "question", "x"))
    parts = drop_contaminated(Parts.of(rows[:2], rows[2:2], rows[2:]), config, exam=exam)
    frames = list(parts.frames)
    assert [frame.height for frame in frames] == [2, 0, 3]
    assert pl.concat(frames).equals(whole.table)
    assert parts.facts == whole.facts
    assert whole.facts["rows_hit"] == 2


def test_an_item_is_found_wherever_other_characters_than_ascii_stand_around_it():
    texts = [
        f"{'x' * n}{before}{BAKER.replace(' ', between, 3)}{before}{'y' * n}"
        for n in range(9)
        for before in (" “", "“", " é ", "\n…", " — “ ")
        for between in (" ", " “", " — ", "\n")
    ]
    config = ContaminationConfig(in_columns="question")
    found = drop_contaminated(table(texts), config, exam=table(EXAM, "question", "x")).table
    assert found.filter(part="dropped").height == len(texts)
    assert json.loads(found["evidence"][0])["share"] == 1.0
