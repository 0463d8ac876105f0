"""Questions from passages: every request ends as rows or failed, and spans are those of the document."""

from __future__ import annotations

import re

import polars as pl
import pytest

from databuild.errors import RecipeError, SchemaError
from databuild.generate.chunk import ChunkConfig, chunk_documents
from databuild.generate.from_documents import FromDocumentsConfig, write_questions
from databuild.generate.related import RELATED
from databuild.models.fake import FakeGenerator, FakeOptions
from databuild.models.protocol import Answer
from databuild.schema.identity import derive_seed

LAMP = "The lamp burned oil until 1931. A cable was laid then."
GOOD = "Question: What did the lamp burn?\nAnswer: Oil.\nQuote: The lamp burned oil"


class Says:
    """A model that says what it is told, in turn, and remembers what it was asked."""

    def __init__(self, *texts, finish="stop"):
        self.texts, self.finish, self.requests = texts, finish, []

    def __call__(self, requests):
        self.requests += requests
        return {
            one.id: Answer(one.id, self.texts[n % len(self.texts)], self.finish, 30, 9)
            for n, one in enumerate(requests)
        }


class Fake:
    def __init__(self, **options):
        self.options = FakeOptions(**options)

    def __call__(self, requests):
        return {answer.id: answer for answer in FakeGenerator(self.options).stream(requests)}


def ask(texts, generator, files=(), columns=None, **options):
    ids = [f"r{n}" for n in range(len(texts))]
    rows = pl.DataFrame({"row_id": ids, "text": texts, **(columns or {})})
    config = FromDocumentsConfig(model="writer", **options)
    models = {"model": "fake@1"}
    return write_questions(rows, config, generator=generator, seed=7, models=models, files=files)


def test_a_question_with_grounds_is_a_row_that_knows_where_it_comes_from():
    made = ask([LAMP], Says(GOOD), temperature=0.5)
    (row,) = made.rows.to_dicts()
    assert made.failed.is_empty()
    assert (row["parent_ids"], row["prompt"], row["response"], row["context"]) == (
        ["r0"], "What did the lamp burn?", "Oil.", LAMP,
    )  # fmt: skip
    assert (row["quote"], row["quote_start"], row["quote_end"]) == ("The lamp burned oil", 0, 19)
    assert (row["quote_match"], row["answer_support"], row["refers_to_passage"]) == (
        1.0,
        1.0,
        False,
    )
    assert (row["origin"], row["k"], row["pair_index"]) == ("from_documents", 0, 0)
    assert row["sample_seed"] == derive_seed(7, "r0", 0)
    assert (row["prompt_name"], len(row["prompt_digest"])) == ("labels.en", 16)
    assert (row["prompt_tokens"], row["completion_tokens"]) == (30, 9)


def test_spans_are_those_of_the_document_that_was_chunked():
    document = f"# Light\n\nIntro comes first here.\n\n# Lamp\n\n{LAMP}\n\n# 灯\n\n灯塔一直点油灯，直到停电。"
    rows = pl.DataFrame({"row_id": ["d"], "text": [document]})
    chunks = chunk_documents(rows, ChunkConfig(target_words=8, longest_words=20)).rows
    chunks = chunks.with_columns(row_id=pl.format("c{}", "chunk_index"))
    config = FromDocumentsConfig(model="writer", k=4, pairs=2)
    made = write_questions(
        chunks, config, generator=Fake(skill_ratio=0.9), seed=7, models={"model": "fake@1"}
    ).rows
    assert set(made["parent_ids"].explode()) == {"c0", "c1", "c2"}
    for row in made.iter_rows(named=True):
        assert document[row["quote_start"] : row["quote_end"]] == row["quote"]
    assert set(made["prompt_name"]) == {"labels.en", "labels.zh"}


def test_every_question_is_a_row_or_failed_and_every_request_is_accounted():
    passages = [f"{LAMP} Then came number {n}." for n in range(30)]
    made = ask(
        passages,
        Fake(refuse_ratio=0.1, time_out_ratio=0.1, nonsense_ratio=0.2, truncate_ratio=0.2),
        k=3,
        pairs=2,
    )
    used = pl.concat(
        [frame.select(pl.col("parent_ids").list.first(), "k") for frame in (made.rows, made.failed)]
    )
    assert used.unique().height == 90
    told = dict(made.failed.group_by("error", "retry").len().select("error", "retry").rows())
    assert told["timed out"] is True
    assert told["the model refused"] is False
    assert {error.split(":")[0] for error in told} >= {
        "no question with an answer",
        "the quote does not stand in the passage",
        "the question was asked of this passage before",
    }


def test_what_fails_comes_with_its_question_answer_and_quote():
    text = "Question: Who?\nAnswer: A king.\nQuote: The king lit the lamp with gold"
    (row,) = ask([LAMP], Says(text)).failed.to_dicts()
    assert row["error"].startswith("the quote does not stand in the passage: its best match is 0.")
    assert (row["prompt"], row["response"], row["retry"]) == ("Who?", "A king.", False)
    assert row["quote"] == "The king lit the lamp with gold"


def test_a_question_asked_twice_of_a_passage_is_one_row_and_of_two_passages_two():
    made = ask([LAMP, LAMP + " So be it."], Says(GOOD, GOOD.upper()), k=2)
    assert made.rows["parent_ids"].to_list() == [["r0"], ["r1"]]
    assert made.failed["error"].unique().to_list() == [
        "the question was asked of this passage before"
    ]


def test_tokens_of_an_answer_with_several_questions_are_counted_once():
    text = f"{GOOD}\n\nQuestion: When was it?\nAnswer: In 1931.\nQuote: burned oil until 1931"
    made = ask([LAMP], Says(text), pairs=2).rows
    assert made["pair_index"].to_list() == [0, 1]
    assert made["completion_tokens"].to_list() == [9, None]


def test_an_answer_cut_at_max_tokens_fails_and_a_cut_quote_does_not():
    cut = ask([LAMP], Says("Question: What?\nAnswer: The lamp burned oil un", finish="length"))
    assert cut.failed["error"].to_list() == ["the answer was cut at max_tokens"]
    assert ask([LAMP], Says(GOOD, finish="length")).rows.height == 1


def test_blank_passages_fail_once_and_are_not_asked():
    generator = Says(GOOD)
    made = ask([None, " \n", LAMP], generator, k=2)
    assert made.failed.filter(pl.col("k").is_null()).select("parent_ids", "error").rows() == [
        (["r0"], "the passage is blank"), (["r1"], "the passage is blank"),
    ]  # fmt: skip
    assert len(generator.requests) == 2
    assert ask([None], generator, columns={"title": ["x"]}).failed.height == 1


def test_the_model_is_told_titles_headings_and_related_passages():
    generator = Says("Question: Who laid it?\nAnswer: The villagers.\nQuote: A cable was laid then")
    other = [{"row_id": "x", "text": "Villagers laid cables in spring.", "score": 1.0}]
    columns = {
        "title": ["Light", "Lamps", None],
        "chunk_headings": [["Light", "Lamp"], ["A"], None],
        "near": pl.Series([other, [], None], dtype=RELATED),
    }
    made = ask([LAMP] * 3, generator, columns=columns, related="near")
    asked = [one.messages[-1].content for one in generator.requests]
    assert "From: Light > Lamp\n" in asked[0]
    assert "<related>\nVillagers laid cables in spring.\n</related>" in asked[0]
    assert "From: Lamps > A\n" in asked[1]
    assert all("From:" not in one and "<related>" not in one for one in asked[2:])
    (row,) = made.rows.to_dicts()  # only the first is supported: by what is related
    assert row["context_ids"] == ["x"]
    assert row["context"] == f"{LAMP}\n\nVillagers laid cables in spring."


@pytest.mark.parametrize(
    ("options", "holds"),
    [
        ({}, "Write 1 question with its answer and a quote."),
        ({"pairs": 3}, "Write 3 questions with their answers and quotes."),
        ({"pairs": 3, "ask_for": "json"}, "Write 3 questions as a JSON list"),
        ({"language": "zh"}, "请写出1个问题"),
        ({"language": "zh", "ask_for": "json"}, "JSON 列表"),
    ],
)
def test_the_prompt_follows_the_options(options, holds):
    generator = Says(GOOD)
    ask([LAMP], generator, **options)
    (request,) = generator.requests
    assert holds in request.messages[-1].content
    assert f"<passage>\n{LAMP}\n</passage>" in request.messages[-1].content


def test_the_context_may_be_part_of_the_prompt():
    made = ask([LAMP], Says(GOOD), include_context=True).rows
    assert made["prompt"].to_list() == [f"{LAMP}\n\nWhat did the lamp burn?"]


def test_thresholds_decide():
    near = (
        "Question: What did the lamp burn?\nAnswer: Oil lamp soot.\nQuote: The lamp burnt some oil"
    )
    assert ask([LAMP], Says(near)).rows.is_empty()
    assert ask([LAMP], Says(near), min_match=0.7).rows.height == 1
    assert ask([LAMP], Says(near), min_match=0.7, min_support=0.7).rows.is_empty()


def test_own_prompts_replace_the_shipped_ones(tmp_path):
    own = tmp_path / "labels.md"
    own.write_text("## user\nAsk {{ pairs }} of {{ passage }}", "utf-8")
    generator = Says(GOOD)
    made = ask([LAMP], generator, files=(own,), prompts=("labels.md",))
    assert generator.requests[0].messages[-1].content == f"Ask 1 of {LAMP}"
    assert made.rows["prompt_name"].to_list() == ["labels"]
    own.write_text("## user\n{{ passages }}", "utf-8")
    with pytest.raises(RecipeError, match="unknown placeholder 'passages'"):
        ask([LAMP], generator, files=(own,), prompts=("labels.md",))


def test_columns_of_other_types_are_refused():
    with pytest.raises(SchemaError, match="'text' is Int64, not String"):
        ask([1], Says(GOOD))
    with pytest.raises(SchemaError, match="'near' is List"):
        ask([LAMP], Says(GOOD), columns={"near": [["x"]]}, related="near")


def test_a_model_may_be_asked_for_the_question_of_a_sentence_alone():
    generator = Says("Sure!\n**Question:** Until when did the lamp burn oil?\nAnswer: never")
    made = ask([LAMP], generator, ask_for="question", k=5, columns={"title": ["Light"]})
    (row,) = made.rows.to_dicts()  # only one of the two sentences has five content words
    assert row["prompt"] == "Until when did the lamp burn oil?"
    assert row["response"] == row["quote"] == "The lamp burned oil until 1931."
    (request,) = generator.requests
    assert f"<sentence>\n{row['response']}\n</sentence>" in request.messages[-1].content
    assert row["prompt_name"] == "question.en"
    zh = ask(
        ["灯塔一直点油灯，直到1931年才用上了电。"],
        Says("灯塔什么时候用上了电？"),
        ask_for="question",
    )
    assert zh.rows["prompt_name"].to_list() == ["question.zh"]


def test_a_passage_without_a_sentence_to_ask_about_fails_once():
    made = ask(["Too short.", LAMP], Says("What of oil?"), ask_for="question", k=2)
    assert made.failed.select("parent_ids", "error", "retry").rows() == [
        (["r0"], "no sentence to ask about", False)
    ]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("It is a lamp.", "no question: It is a lamp."),
        ("", "no question: "),
        ("Who invented the bicycle in Paris?", "the question is about something else: 0.00"),
    ],
)
def test_what_is_no_question_about_the_sentence_fails(said, told):
    made = ask([LAMP], Says(said), ask_for="question")
    assert [error.startswith(told) for error in made.failed["error"]] == [True]


def test_titles_count_for_the_relevance_of_a_question():
    text = "Question: Why Gull Rock?\nAnswer: A cable was laid.\nQuote: A cable was laid then"
    assert ask([LAMP], Says(text)).failed["error"][0].startswith("the question is about something")
    assert ask([LAMP], Says(text), min_relevance=0).rows.height == 1
    assert ask([LAMP], Says(text), columns={"title": ["The Gull Rock light"]}).rows.height == 1


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("The red lamp burned oil until 1931.", "What did the lamp burn until 1931?"),
        ("茶坊有三间屋子，前屋卖茶，中屋炒茶。", "茶坊一共有几间屋子？"),
    ],
)
def test_a_model_that_would_rather_answer_can_be_held_to_a_question(text, asked):
    says = Says(asked)
    made = ask([text], says, ask_for="question", only_question=True)
    (request,) = says.requests
    assert re.fullmatch(request.sampling.regex, asked)
    assert not re.fullmatch(request.sampling.regex, text)
    assert made.rows["prompt"].to_list() == [asked]
    made = ask(
        [text],
        Says("It is not a question.", finish="length"),
        ask_for="question",
        only_question=True,
    )
    assert "does not match the regex" in made.failed["error"][0]


def test_without_it_no_form_is_asked_for_and_answers_need_room():
    says = Says("What did the lamp burn?")
    ask([LAMP], says, ask_for="question")
    assert not says.requests[0].sampling.has_form
    with pytest.raises(ValueError, match="set ask_for to question"):
        ask([LAMP], says, only_question=True)
