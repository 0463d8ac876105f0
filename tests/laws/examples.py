"""A small lawful input for every step: the laws are tried on these tables and variants.

`EXAMPLES[name]` builds an `Example` from an empty folder (a source writes its files there). Tables
are by input slot; every table has `row_id`. The tables hold what real ones hold: nulls, NaN,
blanks, emoji, unspaced scripts, equal rows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

import polars as pl

from databuild.annotate.aggregate import AggregateConfig, aggregate_votes
from databuild.annotate.log import Heard, VoteLog
from databuild.annotate.push import PushConfig, put_before_people
from databuild.annotate.records import Record, record_hash
from databuild.annotate.tasks import load_task
from databuild.engine.resources import Silence
from databuild.models.embedder import HashedNgrams
from databuild.models.fake import FakeGenerator, FakeOptions
from databuild.models.fake_training import read_as_fake, save_fake
from databuild.models.scorer import FakeScorer, Scoring
from databuild.release.versions import Versions
from databuild.schema.identity import digest_text
from tests.annotate.votes import preference_votes, table, vote
from tests.release.small import released

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from databuild.models.protocol import Answer, Request

NAN = float("nan")
TEXTS = [
    "Explain in simple words how a rainbow forms after rain.",
    "explain in simple words  how a rainbow forms after rain",
    "Explain in simple words how a rainbow forms after rain, please.",
    "请用简单的话解释雨后彩虹是怎样形成的。",
    "请用简单的话解释雨后彩虹是怎么形成的。",
    "🌈🌈🌈",
    "?",
    "   ",
    "",
    None,
    None,
    "CafÃ© for two, cafe\u0301 for one\r\n\r\n\r\n```\n  x  =  1\n```   bye",
]


@dataclass(frozen=True)
class Example:
    """Tables by input slot, options, resources, and for a source its files."""

    tables: Mapping[str, pl.DataFrame]
    options: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    files: Sequence[Path] = ()


class FakeAsk:
    """The engine's `generator` resource around the fake model, without a journal."""

    def __init__(self, **options: Any) -> None:
        self.options = FakeOptions(**options)

    def __call__(self, requests: Sequence[Request]) -> Mapping[str, Answer]:
        model = FakeGenerator(self.options)
        try:
            return {answer.id: answer for answer in model.stream(requests)}
        finally:
            model.close()


def texts() -> pl.DataFrame:
    n = len(TEXTS)
    return pl.DataFrame(
        {
            "row_id": [f"r{i:02d}" for i in range(n)],
            "prompt": TEXTS,
            "quality": [0.5, 0.9, NAN, 1.0, None, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7],
            "split": ["train", "dev", "holdout", None, "old"] + ["train"] * (n - 5),
            "topic": ["sky", "sky", "sky", None] + ["other"] * (n - 4),
        }
    )


def talks() -> pl.DataFrame:
    """The texts with answers, every other one in a conversation."""
    question = {"role": "user", "content": "Hi"}
    turns = [
        [question, {"role": "assistant", "content": f"answer {i}"}] if i % 2 else None
        for i in range(len(TEXTS))
    ]
    answers = [f"answer {i}" for i in range(len(TEXTS))]
    return texts().with_columns(response=pl.Series(answers), messages=pl.Series(turns))


def personal() -> pl.DataFrame:
    """Texts with invented personal data, some of it twice, and false friends."""
    found = [
        "Mail ann@post.org or bo@post.org, and ann@post.org again.",
        "电话13812345678，密码是kQ7xT4vB8n。",
        "polars 2.1.0.4 on 192.168.0.1, sales@example.com [EMAIL]",
        "🙂 81.2.69.142\n```\nkey = 'AKIAZ7QK4MPL2XW9RT3B'\n```",
    ]
    return texts().with_columns(
        prompt=pl.Series("prompt", [*found, *TEXTS[4:]], dtype=pl.String), response="prompt"
    )


def documents() -> pl.DataFrame:
    """Documents with headings, in two languages, equal, blank and null, and odd ones."""
    kiln = (
        "# Kiln\n\nLoad the kiln slowly. It burns wood until midnight.\n\n## Door\n\nKeep it shut."
    )
    held = [kiln, kiln, "第一回 出山\n\n山上有一座小庙。庙里住着一个老和尚。", *TEXTS[5:]]
    return pl.DataFrame(
        {
            "row_id": [f"r{i:02d}" for i in range(len(held))],
            "text": held,
            "title": ["Kilns", None, "庙"] + ["x"] * (len(held) - 3),
        }
    )


def marked_up() -> pl.DataFrame:
    """Texts with HTML, with labels of several questions, and with what only looks like it."""
    found = [
        "<p>Sun &amp; rain<ul><li>a<li>b</ul>",
        "Q: Why?\nA: So.\nQ: How?\nA: So too.",
        "a<b and c>d `<b>`\nQ: open",
        "&lt;p&gt;x&lt;/p&gt;",
    ]
    return texts().with_columns(prompt=pl.Series([*found, *TEXTS[4:]], dtype=pl.String))


def with_talks(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with conversations: of two turns, of one, empty, null, and with a turn of nothing."""
    said = {"role": "assistant", "content": "<think>\nHm  m\n</think>\n\n ann@post.org &amp; CafÃ©"}
    talks = [[{"role": "user", "content": " Hi  "}, said], [said], [], None, [{"role": "user"}]]
    kind = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))
    held = pl.Series("messages", [talks[n % 5] for n in range(rows.height)], dtype=kind)
    return rows.with_columns(held)


def answers() -> pl.DataFrame:
    """Answers to three prompts: good, bad, equal, empty, cut, one without an answer, one
    impossible."""
    lower = [{"kind": "lowercase", "value": ""}]
    short = [{"kind": "max_words", "value": "8"}]
    rows = [
        ("a0", "p", "Tomatoes like a lot of warm sun.", lower, "stop", "sampled", 0.5, False),
        ("a1", "p", "tomatoes like a lot of warm sun.", lower, "stop", "edited", 1.0, True),
        ("a2", "p", "Tomatoes like a lot of warm sun.", lower, "stop", "sampled", 0.5, False),
        ("a3", "p", "TOMATOES!", lower, "stop", "sampled", 0.1, False),
        ("b0", "q", "tomatoes need sun and water each day.", short, "stop", "sampled", 1.0, True),
        ("b1", "q", "tomatoes need sun and wa", short, "length", "sampled", 0.4, False),
        ("b2", "q", "", short, "stop", "sampled", 0.0, False),
        ("b3", "q", "🍅", short, "stop", "sampled", NAN, None),
        ("b4", "q", None, short, "stop", "sampled", None, None),
        ("c0", "r", "tomatoes are red and round and sweet.", None, "stop", None, 1.0, True),
        (
            "c1",
            "r",
            "tomatoes are red.",
            [{"kind": "nobody", "value": ""}],
            "stop",
            "edited",
            0.9,
            None,
        ),
    ]
    schema = {
        "row_id": pl.String,
        "prompt": pl.String,
        "response": pl.String,
        "constraints": pl.List(pl.Struct({"kind": pl.String, "value": pl.String})),
        "finish_reason": pl.String,
        "origin": pl.String,
        "verify_score": pl.Float64,
        "strict_pass": pl.Boolean,
    }
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        about=pl.lit(["tomato"], dtype=pl.List(pl.String)), topic=pl.lit("tomatoes")
    )


def compared() -> pl.DataFrame:
    """Pairs that people judged: ties, no word, blanks, nulls, NaN, equal answers, two languages."""
    votes = ["a", "b", "tie", "both_bad", None, "?", "a", "b", "a", "b", "a", "b"]
    n = len(votes)
    return pl.DataFrame(
        {
            "row_id": [f"v{i:02d}" for i in range(n)],
            "prompt": ["Why is it warm?", "为什么暖和？", None, " "]
            + ["Why does rain fall?"] * (n - 4),
            "response_a": ["It is warm.", "因为有太阳。", "x", "x", "", "🌈"]
            + ["Rain falls."] * (n - 6),
            "response_b": ["🍅", "不知道。", "y", "y", "y", None] + ["Rain falls."] * (n - 6),
            "vote": votes,
            "topic": ["sun", "sun", None] + ["rain"] * (n - 3),
            "one_score": [0.5, NAN, None] + [i / n for i in range(3, n)],
            "other_score": [0.1] * (n - 1) + [float("inf")],
            "preference": [1.0, -1.0, 0.0, 0.5, None, NAN] + [-0.5, 0.5] * ((n - 6) // 2),
        }
    )


def unscored() -> pl.DataFrame:
    return answers().drop("verify_score", "strict_pass")


def instructed() -> pl.DataFrame:
    """The answers with instructions of IFEval: some followed, one unknown, one without kwargs."""
    short: tuple[str, dict[str, Any]] = (
        "length_constraints:number_words",
        {"num_words": 6, "relation": "less than"},
    )
    asked: list[list[tuple[str, dict[str, Any]]] | None] = [
        [("punctuation:no_comma", {})],
        [short],
        [short, ("no:such", {})],
        [],
        None,
    ]
    held = [asked[n % 5] for n in range(answers().height)]
    return answers().with_columns(
        instruction_id_list=pl.Series(
            [None if a is None else [name for name, _ in a] for a in held],
            dtype=pl.List(pl.String),
        ),
        kwargs=pl.Series([json.dumps([about for _, about in a or ()]) for a in held]),
    )


def _programs() -> pl.DataFrame:
    """Programs that pass, fail, raise and are no Python; without tests, and without an answer."""
    code = ["def f(x): return x + 1", "f = str", "raise OSError('no')", "🙂", "f = len", None]
    tests = [["assert f(1) == 2", "assert f(0) == 2"], ["f(1)"], [""], ["1"], None, ["f(1)"]]
    ids = [f"r{n}" for n in range(len(code))]
    return pl.DataFrame({"row_id": ids, "response": code, "tests": tests})


def _scored_by_file(folder: Path) -> Example:
    path = folder / "score.py"
    path.write_text("def score(response):\n    return 1 / len(response), response[:9]\n")
    return Example(
        {"rows": answers()}, {"path": "score.py", "columns": "response"}, {"files": (path,)}
    )


def _similar(folder: Path) -> Example:
    """Texts compared by their spelling, against earlier ones of which one is among them."""
    return Example(
        {"rows": texts(), "before": texts().slice(4, 3).drop("quality")},
        {"model": "start", "threshold": 0.8, "prefer": "quality"},
        {"embedder": HashedNgrams(), "scratch": folder, "progress": Silence()},
    )


def _files(folder: Path) -> Example:
    path = folder / "tickets.jsonl"
    good = [{"prompt": text, "n": i, "tags": ["x"]} for i, text in enumerate(TEXTS)]
    lines = [json.dumps(record, ensure_ascii=False).encode() for record in good]
    lines += [b"", b"{broken", b"[1]", b'{"prompt": "\xff"}', b'{"prompt": 7}', b'{"n": 1, "n": 2}']
    path.write_bytes(b"\n".join(lines))
    return Example({}, {"path": path.name, "key": "n"}, files=(path,))


def _rules(folder: Path) -> Example:
    path = folder / "rules.csv"
    path.write_text("id,severity,kind,text\nsky,low,term,rainbow\nsky,low,term,彩虹\n", "utf-8")
    return Example({"rows": texts()}, {"lists": path.name, "starter": True}, {"files": (path,)})


def records() -> pl.DataFrame:
    """Records of several shapes side by side: plain, a conversation, a pair, blank, nothing."""
    turns = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello. 🙂"}]
    n = len(TEXTS)
    return pl.DataFrame(
        {
            "row_id": [f"r{i:02d}" for i in range(n)],
            "instruction": TEXTS,
            "output": ["So.", "", None, "好。", "<think>\nx\n</think>\ny"] + ["Yes."] * (n - 5),
            "conversations": [None] * (n - 2) + [turns, turns[:1]],
            "scores": [[0.5, NAN]] + [None] * (n - 1),
            "responses": [["a", " "]] + [None] * (n - 1),
            "topic": ["sky"] * n,
        },
        strict=False,
    )


def _dataset(folder: Path) -> Example:
    texts = pl.DataFrame({"prompt": TEXTS, "n": range(len(TEXTS))})
    texts.write_parquet(folder / "train.parquet")
    return Example({}, {"dataset": str(folder), "revision": "-", "key": "n"})


def _released(folder: Path) -> Example:
    ids = [digest_text("row", str(i)) for i in range(len(TEXTS))]
    rows = pl.DataFrame({
        "row_id": ids, "content_id": ids, "parent_ids": [[one[::-1]] for one in ids],
        "prompt": TEXTS, "reason": ["kept"] * len(TEXTS),
    })  # fmt: skip
    released(Versions(folder / "releases", "demo"), "1.0.0", {"train": [rows[:5], rows[5:]]})
    return Example({}, {"version": "demo@1.0.0", "store": str(folder / "releases")})


def _example(
    table: Callable[[], pl.DataFrame], options: Mapping[str, Any] | None = None, **resources: Any
) -> Callable[[Path], Example]:
    return lambda _folder: Example({"rows": table()}, options or {}, resources)


def _dedup(folder: Path, options: Mapping[str, Any], *needs: str) -> Example:
    known = {"scratch": folder, "workers": 2, "progress": Silence(), "files": ()}
    return Example({"rows": texts()}, options, {name: known[name] for name in needs})


def _pairs() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "row_id": ["x", "y"],
            "prompt": ["p", "q"],
            "chosen": ["good", "fine 🙂"],
            "rejected": ["bad", ""],
            "margin": [0.7, 0.2],
            "strength": ["significantly better", "slightly better"],
        }
    )


def _mixture(_folder: Path) -> Example:
    """Three sources, one under a free name, with repeats, duplicates and a shortfall."""
    tables = {
        "rows": texts().select("row_id", "prompt", "quality"),
        "others": unscored().select("row_id", "prompt", "response", quality=pl.lit(0.5)),
        "web": texts().select("prompt", "quality", row_id=pl.concat_str(pl.lit("w"), "row_id")),
    }
    options = {
        "weights": {"rows": 0.5, "others": 0.4, "web": 0.1},
        "epochs": {"rows": 2.5},
        "total": 40,
        "unique": ["prompt"],
        "priority": ["web"],
        "prefer": "quality",
    }
    return Example(tables, options, {"seed": 7})


def _exam(start: float) -> pl.DataFrame:
    """What a model answered on dev: a score per prompt, one null, one NaN, one prompt twice."""
    return pl.DataFrame(
        {
            "row_id": [f"e{i}" for i in range(8)],
            "prompt": ["a", "b", "c", "d", "e", "f", "f", "🙂"],
            "score": [start, start + 0.1, 1.0, None, NAN, 0.3, 0.2, 0.1],
            "completion_tokens": [3, 5, 8, 0, 2, 9, 9, 1],
        }
    )


def _texts_read(nats: float) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "row_id": ["t0", "t1", "t2"],
            "nll_sum": [nats, 2 * nats, None],
            "nll_tokens": [2, 3, None],
        }
    )


def _read(texts: Sequence[str | tuple[str, str]]) -> list[dict[str, Any]]:
    options = FakeOptions()
    return [read_as_fake(options, text) if text else {"error": "no token"} for text in texts]


def _train(
    table: Callable[[], pl.DataFrame], *, has_dev: bool = False
) -> Callable[[Path], Example]:
    def example(folder: Path) -> Example:
        (folder / "scratch").mkdir(exist_ok=True)
        resources = {
            "model": save_fake(FakeOptions(), folder / "model"),
            "scratch": folder / "scratch",
            "out": folder / "out",
            "device": "cpu",
            "progress": Silence(),
        }
        dev = {"dev": table()} if has_dev else {}
        return Example({"rows": table(), **dev}, {"model": "start"}, resources)

    return example


def _token_shards(folder: Path) -> Example:
    """Documents, and a tokenizer that knows no word but its own."""
    words = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
             "normalizer": None, "pre_tokenizer": {"type": "WhitespaceSplit"},
             "post_processor": None, "decoder": None,
             "model": {"type": "WordLevel", "vocab": {"?": 0, "<end>": 1, "rain.": 2},
                       "unk_token": "?"}}  # fmt: skip
    model = folder / "model"
    model.mkdir(exist_ok=True)
    (model / "tokenizer.json").write_text(json.dumps(words))
    (model / "tokenizer_config.json").write_text('{"eos_token": "<end>"}')
    rows = pl.DataFrame({"row_id": [f"r{i}" for i in range(len(TEXTS))], "text": TEXTS})
    return Example({"rows": rows}, {"model": "start"}, {"model": model, "out": folder / "out"})


def _conversations() -> pl.DataFrame:
    """Talks in order and out of order, with nulls, an empty one, and a tool's turn."""
    turn = {"user": "Hi 🙂", "assistant": "Hello!", "tool": None, "system": " ", "bot": "?"}
    talks: list[list[str] | None] = [
        ["user", "assistant"],
        ["assistant"],
        ["user", "user", "bot", "system"],
        [],
        None,
    ]
    talks += [["system", "user", "tool", "assistant"], ["user", "assistant"]]
    held = [
        None if talk is None else [{"role": role, "content": turn[role]} for role in talk]
        for talk in talks
    ]
    return pl.DataFrame(
        {"row_id": [f"t{i}" for i in range(len(talks))], "messages": held},
        schema_overrides={
            "messages": pl.List(pl.Struct({"role": pl.String, "content": pl.String}))
        },
    )


def _tokenizer(folder: Path) -> Example:
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"?": 0, "rain": 1}, unk_token="?"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    return Example(
        {"rows": texts()},
        {"tokenizer": path.name, "column": "prompt"},
        {"files": (path,), "model": None},
    )


def _judge(slot: str, table: Callable[[float], pl.DataFrame], **options: Any) -> Any:
    resources = {"out": "out", "seed": 7}
    return lambda folder: Example(
        {"rows": table(0.4), slot: table(0.2)},
        options,
        {
            name: folder / value if isinstance(value, str) else value
            for name, value in resources.items()
        },
    )


def _votes() -> pl.DataFrame:
    """Votes of people of different skill, with gold questions, rewrites and what is no vote."""
    votes = preference_votes(20, (0.9, 0.8, 0.3), gold_every=5)
    odd = [
        vote(1, "person0", 4, row_id="later", voted_at="2026-12-01T00:00:00Z"),
        vote(2, "person4", None), vote(3, None, 2), vote(4, "person5", 1, record=None),
        vote(30, "person1", 0), vote(30, "person2", 0), vote(31, "person1", 2, edited="更好 🙂"),
        vote(32, "person1", -1, edited="  "), vote(33, "person3", 1, seconds=NAN),
    ]  # fmt: skip
    return pl.concat([votes, table(odd)]).drop("truth")


def _voted() -> pl.DataFrame:
    """What people said together."""
    made = aggregate_votes(_votes(), AggregateConfig()).rows
    null = {"prompt": None, "response_a": "x", "response_b": "y", "vote": "a", "grade": 1.0}
    odd = pl.DataFrame([{**null, "agreement": 1.0}, {**null, "prompt": "p", "response_b": "x"}])
    made = pl.concat([made, odd], how="diagonal_relaxed").drop("parent_ids")
    return made.with_row_index("row_id").with_columns(pl.format("agg{}", "row_id").alias("row_id"))


def _simulated(folder: Path) -> Example:
    """Rows that were put before people in files, and who shall answer."""
    rows = pl.DataFrame(
        {
            "row_id": ["one", "two", "three", "four"], "prompt": ["p", "q", "再来", "s"],
            "response_a": ["x", "x 🙂", "好", "x"], "response_b": ["y", "y", "不好", "y"],
        }
    )  # fmt: skip
    answers = pl.DataFrame(
        {
            "row_id": list("abcdef"), "prompt": ["p", "p", "q", "q", "再来", None],
            "response": ["x", "y", "x 🙂", "y", "好", "x"], "good": [0.9, 0.2, 0.1, 0.3, NAN, 1.0],
        }
    )  # fmt: skip
    options = {"dataset": "small", "tool": "files"}
    tables = {"rows": rows, "answers": answers}
    (folder / "pushed").mkdir(exist_ok=True)
    put_before_people(
        rows[:3], PushConfig(**options), out=folder / "pushed", journals=folder / "journals",
        files=(), seed=1,
    )  # fmt: skip
    people = {"ann": {"skill": 0.9}, "bo": {"skill": 0.6, "first_bias": 0.5, "answers": 0.5}}
    resources = {"out": folder / "out", "journals": folder / "journals", "seed": 7}
    return Example(tables, {**options, "truth": "good", "annotators": people}, resources)


def _two_answers() -> pl.DataFrame:
    return pl.DataFrame({
        "row_id": ["a", "b", "c", "d", "e", "f"],
        "prompt": ["Name a colour.", "说一个颜色。", "🌈?", "", None, "Name a colour."],
        "response_a": ["Blue.", "蓝色。", "=1+1", "x", "y", "Turtles."],
        "response_b": ["Turtles.", "乌龟。", "  ", "y", "z", "Blue."],
        "margin": [0.5, -0.1, NAN, None, 1.0, 0.5],
        "messages": [None] * 6,
    })  # fmt: skip


def _pushed(folder: Path) -> Example:
    journals = Path(mkdtemp(dir=folder))
    options = {
        "dataset": "d",
        "tool": "files",
        "votes_per_record": 2,
        "annotators": ["x", "y", "z"],
    }
    gold = (
        _two_answers()
        .head(1)
        .with_columns(row_id=pl.lit("g"), prompt=pl.lit("2 + 2?"), gold=pl.lit(4))
    )
    return Example(
        {"rows": _two_answers(), "gold": gold}, {**options, "margins": ["margin"]},
        {"journals": journals, "files": (), "seed": 7, "out": None},
    )  # fmt: skip


def _pulled(folder: Path) -> Example:
    """Votes of two people on four of the rows as the engine stores them; one was taken back."""
    journals = Path(mkdtemp(dir=folder))
    rows = _two_answers().with_columns(pl.col("prompt").fill_null("?"))
    gold = rows.head(1).with_columns(row_id=pl.lit("g"), prompt=pl.lit("2 + 2?"))
    log, made = VoteLog(journals, "d"), []
    for i, row in enumerate(rows.vstack(gold).to_dicts()[1:]):
        fields = {"prompt": row["prompt"], "answers": [row["response_a"], row["response_b"]]}
        name = record_hash("preference", fields)
        made.append(Record(name, "preference", fields, (i % 2, 1 - i % 2), row["row_id"]))
    log.put(load_task("preference"), made)
    said = {"preference": "a_better", "accuracy": 4, "issues": ["unsafe"], "edited": "Türkis 🐢"}
    at = "2026-03-01T09:30:00Z"
    log.hear([Heard(one.record, who, at, "submitted", said) for one in made[:3] + made[-1:]
              for who in ("ann", "bob")], "file")  # fmt: skip
    log.hear([Heard(made[0].record, "ann", at, "draft", {})], "file")
    log.hear([Heard(made[3].record, "ann", at, "discarded", {})], "file")
    options = {"dataset": "d", "tool": "files", "share": 0.5}
    return Example({"rows": rows, "gold": gold}, options, {"journals": journals, "told": ""})


EXAMPLES: Mapping[str, Callable[[Path], Example]] = {
    "ingest.files": _files,
    "ingest.rows": _example(records),
    "ingest.hub": _dataset,
    "ingest.release": _released,
    "annotate.push": _pushed,
    "annotate.pull": _pulled,
    "measure.basics": _example(texts),
    "measure.characters": _example(texts),
    "measure.language": _example(texts),
    "measure.tokens": _tokenizer,
    "measure.markup": _example(texts, {"column": "prompt"}),
    "measure.prompt": _example(texts, {"input": "topic"}),
    "measure.answer": _example(answers, {"input": "topic"}),
    "measure.arithmetic": _example(answers, {"input": "topic"}),
    "measure.reasoning": _example(answers, {"opens": "tomatoes", "closes": "sun"}),
    "measure.pair": _example(_pairs, {"prompt": "prompt"}),
    "measure.turns": _example(_conversations),
    "measure.pii": _example(personal),
    "measure.rules": _rules,
    "measure.frequency": _example(texts),
    "measure.leak": lambda _: Example(
        {
            "rows": texts(),
            "against": texts().filter(pl.col("split") == "dev").drop("quality"),
            "exam": pl.DataFrame({"row_id": ["x", "y"], "prompt": [" 🌈🌈🌈 ", ""]}),
        },
        {"columns": ["prompt", "topic"], "in_columns": "prompt"},
    ),
    "measure.embedding": lambda folder: Example(
        {"rows": texts()},
        {"model": "start"},
        {"embedder": HashedNgrams(), "scratch": folder, "progress": Silence()},
    ),
    "measure.relevance": lambda folder: Example(
        {"rows": answers()},
        {"model": "start"},
        {"embedder": HashedNgrams(), "scratch": folder, "progress": Silence()},
    ),
    "measure.difficulty": _example(unscored, {"model": "start"}, reader=_read),
    "fix.normalize": _example(lambda: with_talks(texts())),
    "fix.edit": _example(lambda: with_talks(unscored())),
    "fix.mojibake": _example(lambda: with_talks(texts())),
    "fix.html": _example(lambda: with_talks(marked_up())),
    "fix.split_fused": _example(lambda: with_talks(marked_up())),
    "fix.cut_last_turn": _example(answers),
    "fix.merge_fragments": _example(
        texts, {"by": "topic", "order": "quality", "column": "prompt", "keep": ["split"]}
    ),
    "fix.mask": _example(
        lambda: with_talks(personal()), {"columns": ["prompt", "response"]}, seed=7
    ),
    "dedup.exact": lambda folder: _dedup(folder, {"prefer": "quality"}, "scratch", "progress"),
    "dedup.minhash": lambda folder: _dedup(
        folder, {"prefer": "quality"}, "scratch", "workers", "progress", "files"
    ),
    "dedup.cluster": lambda folder: _dedup(folder, {}, "scratch", "workers", "progress"),
    "dedup.index": lambda folder: Example(
        {"rows": texts()},
        {},
        {"out": None, "scratch": folder / "signed", "workers": 2, "progress": Silence()},
    ),
    "dedup.semantic": _similar,
    "dedup.contamination": lambda _: Example(
        {
            "rows": texts(),
            "against": texts().select("row_id", question="prompt").filter(pl.col("row_id") > "r02"),
            "exam": pl.DataFrame({"row_id": ["x", "y"], "question": [" 🌈🌈🌈 ", TEXTS[0]]}),
        },
        {"in_columns": "question"},
        {"workers": 2, "progress": Silence()},
    ),
    "sample.where": _example(texts, {"keep": "quality > 0.2 and len(prompt) > 3"}),
    "sample.parts": _example(texts, {"column": "split", "parts": ["train", "dev"]}),
    "sample.split": _example(
        texts,
        {
            "parts": {"train": 0.5, "dev": 0.25},
            "stratify": "topic",
            "together": "split",
            "no_leak": "prompt",
        },
        seed=7,
    ),
    "sample.stratify": _example(
        texts,
        {"by": ["topic", "quality"], "bins": {"quality": 2}, "total": 6, "balance": "sqrt"},
        seed=7,
    ),
    "sample.curriculum": _example(texts, {"by": "quality", "bands": 2}, seed=7),
    "sample.diverse": _example(
        texts, {"take": 0.5, "text": ["prompt", "topic"], "prefer": "quality"}, seed=7
    ),
    "sample.mix": _mixture,
    "generate.chunk": _example(documents, {"target_words": 6, "overlap_words": 3}),
    "generate.related": _example(documents, {"n": 2}),
    "generate.from_documents": _example(
        documents,
        {"model": "start", "k": 2, "pairs": 2},
        generator=FakeAsk(refuse_ratio=0.1, time_out_ratio=0.1, skill_ratio=0.7),
        seed=7,
        models={"model": "fake@1"},
        files=(),
    ),
    "generate.respond": _example(
        texts,
        {"models": ["a", "b"], "k": 3, "max_tokens": 20, "system": ["Be kind.", "Be brief."]},
        generator=None,
        generators={
            "models.a": FakeAsk(refuse_ratio=0.2, time_out_ratio=0.2),
            "models.b": FakeAsk(seed=1),
        },
        seed=7,
        models={"models.a": "fake@1", "models.b": "fake@2"},
    ),
    "generate.reason": _example(
        texts,
        {"model": "start", "answer": "topic", "k": 3, "max_tokens": 20},
        generator=FakeAsk(refuse_ratio=0.2, time_out_ratio=0.2),
        seed=7,
        models={"model": "fake@1"},
        files=(),
        rewards=None,
    ),
    "generate.self_instruct": _example(
        texts,
        {
            "model": "start",
            "instruction": "prompt",
            "target": 9,
            "heads": 3,
            "consistency": 1,
            "min_text_agreement": 0,
            "topic": "topic",
            "topics": {"sky": 0.6, "sea": 0.4},
        },
        generator=FakeAsk(refuse_ratio=0.1, time_out_ratio=0.1),
        seed=7,
        models={"model": "fake@1"},
        files=(),
    ),
    "generate.rewrite": _example(
        talks,
        {"model": "start", "how": ["paraphrase", "back_translation", "harder"], "max_tokens": 60},
        generator=FakeAsk(refuse_ratio=0.2, time_out_ratio=0.2),
        seed=7,
        models={"model": "fake@1"},
        files=(),
    ),
    "generate.critique": _example(
        answers,
        {"model": "start", "rounds": 2, "max_tokens": 60, "principles": "Be short."},
        generator=FakeAsk(refuse_ratio=0.2, time_out_ratio=0.2),
        seed=7,
        models={"model": "fake@1"},
        files=(),
    ),
    "reward.verify": _example(unscored),
    "reward.model": _example(
        unscored,
        {"model": "start", "name": "rm", "steps": " "},
        scorer=Scoring(lambda: FakeScorer(FakeOptions(seed=3)), None, "fake@1"),
    ),
    "reward.ifeval": _example(instructed),
    "reward.match": _example(answers, {"how": "contains", "value": "Sun"}),
    "reward.maths": _example(
        lambda: answers().with_columns(
            answer=pl.Series(["7", None, " "] * 9).head(answers().height)
        )
    ),
    "reward.code": _example(_programs, {}, workers=2, progress=Silence()),
    "reward.file": _scored_by_file,
    "reward.judge": _example(
        lambda: with_talks(answers()),
        {"model": "start", "reasons": True, "reference": "topic", "temperature": 0.5},
        generator=FakeAsk(refuse_ratio=0.1, time_out_ratio=0.1, nonsense_ratio=0.3),
        seed=7,
        files=(),
    ),
    "reward.compare": _example(
        compared,
        {"model": "start", "criteria": ["It is right."]},
        generator=FakeAsk(refuse_ratio=0.1, nonsense_ratio=0.1),
        seed=7,
        files=(),
    ),
    "reward.ensemble": _example(
        lambda: answers().with_columns(length_score=pl.col("response").str.len_chars()),
        {"scores": ["verify_score", "length_score"], "debias_length": True, "min_scores": 1},
        seed=7,
    ),
    "reward.calibrate": lambda folder: Example(
        {"rows": compared()},
        {
            "label": "vote",
            "scores": {"pointwise": ["one_score", "other_score"], "pairwise": "preference"},
            "by": "topic",
            "resamples": 100,
        },
        {"out": folder / "out", "seed": 7},
    ),
    "pairs.best": _example(answers),
    "pairs.graded": _example(answers, {"max_pairs_per_prompt": 3}),
    "annotate.simulate": _simulated,
    "annotate.agreement": lambda folder: Example(
        {"rows": _votes()}, {"resamples": 100}, {"out": folder / "out", "seed": 7}
    ),
    "annotate.gate": _example(
        _votes, {"min_gold_accuracy": 0.5, "min_seconds": 12, "min_stratum_alpha": 0.1}
    ),
    "annotate.aggregate": _example(_votes, {"method": "dawid_skene"}),
    "annotate.adjudicate": _example(_voted, {"min_confidence": 0.9, "max_spread": 4}),
    "annotate.pairs": _example(_voted, {"ties": "keep"}),
    "export.jsonl": lambda folder: Example(
        {"rows": _pairs()},
        {"kind": "preference", "keep": ["row_id"]},
        {"out": folder / "out"},
    ),
    "export.trl": lambda folder: Example(
        {"rows": _pairs()}, {"kind": "preference", "keep": ["margin"]}, {"out": folder / "out"}
    ),
    "export.trainer": lambda folder: Example(
        {"rows": _pairs()}, {"format": "llamafactory"}, {"out": folder / "out"}
    ),
    "export.megatron": _token_shards,
    "evaluate.match": _example(answers, {"reference": "prompt"}),
    "train.reward": _train(_pairs, has_dev=True),
    "train.sft": _train(lambda: answers().filter(pl.col("response").is_not_null()), has_dev=True),
    "train.dpo": _train(_pairs, has_dev=True),
    "evaluate.perplexity": _example(texts, {"model": "start", "column": "prompt"}, reader=_read),
    "evaluate.compare": _judge("base", _exam, metric="score", resamples=200),
    "evaluate.fluency": _judge("base", _texts_read),
    "flywheel.promote": _judge("best_rows", _exam, metric="score", candidate="dpo", best="start"),
}
