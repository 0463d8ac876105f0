from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

import databuild
from databuild.dedup.semantic import SemanticConfig, drop_similar
from databuild.engine.resources import Silence
from databuild.errors import RecipeError, SchemaError, ServiceError, StepError
from databuild.models.embedder import Embedded, HashedNgrams

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

RAINBOW = "Explain how a rainbow forms after the rain has gone"
TEXTS = [
    RAINBOW,
    RAINBOW + ".",
    RAINBOW.upper() + "!",
    "Write a short poem about the sea in winter",
    "请用简单的话解释雨后彩虹是怎样形成的",
    "请用简单的话解释雨后彩虹是怎么形成的",
    RAINBOW,
    "🌈🌈🌈",
]


class Table:
    """An embedder of texts that are numbers: an angle in degrees; and a count of what was read."""

    def __init__(self, fails_after: int | None = None) -> None:
        self.read_texts: list[str] = []
        self.fails_after = fails_after

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        return self.read(texts).vectors_ND

    def read(self, texts: Sequence[str], prefix: str | None = None) -> Embedded:
        if self.fails_after is not None and len(self.read_texts) >= self.fails_after:
            raise ServiceError("test", "killed", fix="run again")
        self.read_texts += [f"{prefix or ''}{text}" for text in texts]
        angles = np.deg2rad([float(text.split()[0]) for text in texts])
        angles[np.isinf(angles)] = np.nan
        vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
        return Embedded(vectors, np.array([len(text.split()) > 3 for text in texts]), 3)

    def close(self) -> None:
        """There is nothing to give back."""


def rows_of(texts: Sequence[str | None], **columns: Any) -> pl.DataFrame:
    ids = [f"r{i:04d}" for i in range(len(texts))]
    return pl.DataFrame(
        {"row_id": ids, "prompt": pl.Series(texts, dtype=pl.String), **columns}
    ).sample(fraction=1.0, shuffle=True, seed=3)


def decide(
    rows: pl.DataFrame,
    folder: Path,
    before: pl.DataFrame | None = None,
    *,
    embedder: Any = None,
    **options: Any,
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """What became of each row, by the end of its id, with its evidence; and the facts."""
    if "embedding" not in options:
        options = {"model": "m", **options}
    found = drop_similar(
        rows, SemanticConfig(**options), embedder=embedder or HashedNgrams(), scratch=folder,
        progress=Silence(), **({} if before is None else {"before": before}),
    )  # fmt: skip
    verdicts = {
        row["row_id"]: {**row, **json.loads(row["evidence"] or "{}")}
        for row in found.table.sort("row_id").to_dicts()
    }
    return verdicts, dict(found.facts)


def kept(verdicts: dict[str, dict[str, Any]]) -> list[int]:
    return [int(name[1:]) for name, row in verdicts.items() if row["part"] == "kept"]


def test_the_best_of_each_group_is_kept_and_the_others_say_why(tmp_path):
    quality = [0.1, 0.9, 0.5, 0.0, None, float("nan"), 0.2, 1.0]
    rows = rows_of(TEXTS, q=quality)
    found, facts = decide(rows, tmp_path, threshold=0.8, prefer="q")
    assert kept(found) == [1, 3, 4, 7]
    assert found["r0006"]["kept"] == "r0001"
    assert found["r0006"]["stage"] == found["r0000"]["stage"] == "near"
    assert 0.8 <= found["r0000"]["cosine"] < 1
    assert found["r0000"]["reason"] == "near duplicate"
    assert found["r0005"]["kept"] == found["r0005"]["cluster"] == "r0004"
    assert found["r0003"]["evidence"] is None
    group = facts["largest_clusters"][0]
    assert (group["kept"], group["rows"], group["text"]) == ("r0001", 4, TEXTS[1])
    assert group["least_cosine"] == min(found[f"r000{i}"]["cosine"] for i in (0, 2, 6))
    assert (facts["texts"], facts["search"], facts["rows_cut"]) == (7, "exact", 0)
    assert (facts["rows"], facts["near"], facts["in_short"]) == (8, 4, "4 near")


def test_equal_texts_are_embedded_once_and_equal_at_any_threshold(tmp_path):
    table = Table()
    found, facts = decide(
        rows_of(["10", "20", "10", "10"]), tmp_path, embedder=table, threshold=1.0
    )
    assert sorted(table.read_texts) == ["10", "20"]
    assert kept(found) == [0, 1]
    assert {found[i]["stage"] for i in ("r0002", "r0003")} == {"exact"}
    assert found["r0002"]["reason"] == "duplicate"
    assert facts["texts"] == 2


def test_the_nearest_kept_row_is_named_not_the_first(tmp_path):
    rows = rows_of(["0", "30", "20"])
    found, _ = decide(rows, tmp_path, embedder=Table(), threshold=float(np.cos(np.deg2rad(25))))
    assert kept(found) == [0, 1]
    assert found["r0002"]["kept"] == "r0001"
    assert found["r0002"]["cosine"] == pytest.approx(np.cos(np.deg2rad(10)), abs=1e-6)


def test_what_has_no_text_or_no_vector_is_kept_and_counted(tmp_path):
    texts = [None, None, "", "", "  ", "nan", "nan", "inf", "10", "10"]
    found, facts = decide(rows_of(texts), tmp_path, embedder=Table(), threshold=0.1)
    assert kept(found) == list(range(9))
    assert facts["rows_without_text"] == 5
    assert facts["rows_without_vector"] == {"rows": 3, "first": ["r0005", "r0006", "r0007"]}
    vectors = [None, [0.0, 0.0], [1.0, None], [1.0, 2.0], [1.0, 2.0]]
    rows = rows_of(["a", "b", "c", "d", None], v=vectors)
    found, facts = decide(rows, tmp_path, embedding="v", threshold=0.1)
    assert kept(found) == [0, 1, 2, 3]
    assert facts["rows_without_vector"] == {"rows": 2, "first": ["r0001", "r0002"]}


def test_texts_that_are_cut_are_counted_by_row(tmp_path):
    texts = ["10 a b c", "10 a b c", "50 a", "90 a b c d"]
    _, facts = decide(rows_of(texts), tmp_path, embedder=Table(), prefix="query: ")
    assert (facts["rows_cut"], facts["max_tokens"]) == (3, 3)


def test_a_prefix_stands_before_every_text(tmp_path):
    table = Table()
    decide(rows_of(["10", "20"]), tmp_path, embedder=table, prefix="query: ")
    assert table.read_texts == ["query: 10", "query: 20"]
    assert Table().read(["1"]).is_cut_N.tolist() == [False]


def test_a_conversation_is_compared_with_what_was_said_before(tmp_path):
    def talk(first: str) -> list[dict[str, str]]:
        return [
            {"role": "user", "content": first},
            {"role": "assistant", "content": "Well."},
            {"role": "user", "content": "Please go on"},
            {"role": "assistant", "content": "So it was."},
        ]

    talks = [talk(RAINBOW), talk(TEXTS[3]), talk(RAINBOW + "?")]
    rows = rows_of(["Please go on"] * 3, messages=talks)
    found, _ = decide(rows, tmp_path, threshold=0.8)
    assert kept(found) == [0, 1]
    assert found["r0002"]["kept"] == "r0000"
    found, _ = decide(rows, tmp_path, threshold=0.8, messages=None)
    assert kept(found) == [0]


def test_earlier_data_is_kept_first_whatever_its_worth(tmp_path):
    rows = rows_of([RAINBOW, TEXTS[3], RAINBOW + "?"], q=[9.0, 5.0, 1.0])
    earlier = rows_of([RAINBOW + ".", RAINBOW + "."]).with_columns(
        row_id=pl.concat_str(pl.lit("old-"), "row_id")
    )
    found, facts = decide(rows, tmp_path, earlier, threshold=0.8, prefer="q")
    assert kept(found) == [1]
    assert found["r0000"]["kept"] == "old-r0000"
    assert found["r0000"]["reason"] == "duplicate of an earlier row"
    assert found["r0000"]["stage"] == "earlier"
    assert set(found) == {"r0000", "r0001", "r0002"}
    assert facts["largest_clusters"][0]["rows"] == 3
    same, _ = decide(rows, tmp_path, earlier.head(0), threshold=0.8, prefer="q")
    assert kept(same) == [0, 1]


def test_a_column_of_vectors_says_what_the_model_says(tmp_path):
    texts = [f"{text} {n % 3}" for n, text in enumerate(TEXTS * 4)]
    rows = rows_of(texts, q=[n % 5 for n in range(len(texts))])
    vectors = pl.Series(HashedNgrams().embed(rows["prompt"].to_list()).tolist())
    by_model, _ = decide(rows, tmp_path, threshold=0.9, prefer="q")
    given = rows.with_columns(v=vectors)
    by_column, facts = decide(given, tmp_path, embedding="v", threshold=0.9, prefer="q")
    assert kept(by_column) == kept(by_model)
    assert [v.get("kept") for v in by_column.values()] == [v.get("kept") for v in by_model.values()]
    assert "rows_cut" not in facts


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (["a", "b"], r"the column 'v' holds String, not vectors of numbers"),
        ([[1.0], [1.0, 2.0]], r"the vectors of 'v' have the lengths \[1, 2\]"),
    ],
)
def test_a_column_that_holds_no_vectors_is_named(tmp_path, vectors, message):
    with pytest.raises(SchemaError, match=message):
        decide(rows_of(["a", "b"], v=vectors), tmp_path, embedding="v")


def test_no_row_and_one_row(tmp_path):
    for n in (0, 1):
        found, facts = decide(rows_of(TEXTS[:n]), tmp_path)
        assert (kept(found), facts["largest_clusters"], facts["texts"]) == (list(range(n)), [], n)
    rows = rows_of([], v=pl.Series([], dtype=pl.List(pl.Float32)))
    assert decide(rows, tmp_path, embedding="v")[0] == {}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"model": "m", "embedding": "v"},
        {"embedding": "v", "prefix": "query: "},
        {"model": "m", "threshold": 0.0},
        {"model": "m", "threshold": 1.01},
        {"model": "m", "threshold": float("nan")},
        {"model": "m", "column": []},
        {"model": "m", "exact_up_to": -1},
    ],
)
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(ValueError, match="validation error"):
        SemanticConfig(**options)


def angles(n: int) -> list[str]:
    rng = np.random.default_rng(0)
    return [f"{angle:.3f}" for angle in rng.uniform(0, 180, n)]


def test_a_kill_costs_one_chunk_and_changes_nothing(tmp_path):
    texts = angles(2_000)
    straight, facts = decide(rows_of(texts), tmp_path, embedder=Table(), threshold=0.9999)
    home = tmp_path / "killed"
    home.mkdir()
    killed = Table(fails_after=1_000)
    with pytest.raises(ServiceError, match="killed"):
        decide(rows_of(texts), home, embedder=killed, threshold=0.9999)
    assert len(killed.read_texts) == 1_024
    torn = sorted(home.glob("vectors-*"))[1]
    torn.write_bytes(torn.read_bytes()[:100])
    again = Table()
    found, resumed = decide(rows_of(texts), home, embedder=again, threshold=0.9999)
    assert len(again.read_texts) == len(set(texts)) - 1_024 + 256
    assert (found, resumed) == (straight, facts)
    assert not list(home.glob("*.making"))


@pytest.mark.slow
def test_beyond_the_stated_size_an_index_proposes_and_its_misses_are_told(tmp_path):
    pytest.importorskip("faiss")
    texts = angles(3_000)
    exact, _ = decide(rows_of(texts), tmp_path, embedder=Table(), threshold=0.999999)
    found, facts = decide(
        rows_of(texts), tmp_path, embedder=Table(), threshold=0.999999, exact_up_to=2_000
    )
    assert (facts["search"], facts["missed_ratio"]) == ("cells", 0.0)
    missed = set(kept(found)) ^ set(kept(exact))
    assert len(missed) <= 0.01 * (3_000 - len(kept(exact)))


def test_without_faiss_the_fix_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(StepError, match=r"30 texts are more than exact_up_to.*databuild\[embed\]"):
        decide(rows_of(angles(30)), tmp_path, embedder=Table(), exact_up_to=29)


RECIPE = """
name: alike
models:
  words: {{path: {model}}}
  answers: {{fake: {{}}}}
steps:
  old:    {{use: ingest.files, path: old.jsonl}}
  raw:    {{use: ingest.files, path: new.jsonl}}
  near:   {{use: dedup.semantic, from: {{rows: raw, before: old}}, model: words, threshold: {at}, prefer: stars}}
  vector: {{use: measure.embedding, from: raw, model: words, max_failure_ratio: 0.5}}
  strict: {{use: dedup.semantic, from: vector, embedding: prompt_embedding, threshold: 0.999}}
"""


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """A static model of eight words: two pairs that mean the same, two numbers each."""
    pytest.importorskip("tokenizers")
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    folder = tmp_path / "words"
    folder.mkdir()
    names = ["[UNK]", "the", "dog", "hound", "runs", "sprints", "cat", "sleeps"]
    table = {name: place for place, name in enumerate(names)}
    tokenizer = Tokenizer(models.WordLevel(table, unk_token="[UNK]"))  # noqa: S106
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    meaning = {"dog": 0, "hound": 0, "runs": 1, "sprints": 1, "cat": 2, "sleeps": 3}
    vectors = np.zeros((8, 4), dtype=np.float32)
    for name, axis in meaning.items():
        vectors[table[name], axis] = 1.0
    vectors[table["hound"], 1] = 0.2
    save_file({"embeddings": vectors}, folder / "model.safetensors")
    config = {"model_type": "model2vec", "normalize": True, "max_length": 4}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    return folder


def test_a_recipe_drops_what_means_the_same(tmp_path, words):
    new = [
        "The dog runs",
        "the hound sprints",
        "the cat sleeps",
        "Zzz",
        "the cat the cat sleeps the",
    ]
    for name, texts in (("new", new), ("old", ["cat cat sleeps"])):
        lines = [json.dumps({"prompt": text, "stars": n}) for n, text in enumerate(texts)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), "utf-8")
    recipe = tmp_path / "alike.yaml"
    recipe.write_text(RECIPE.format(model=words, at=0.89), "utf-8")
    databuild.run(recipe, runs=tmp_path / "runs")

    def state(step: str) -> tuple[dict[str, Any], Path]:
        latest = json.loads((tmp_path / "runs/alike/latest.json").read_text("utf-8"))
        home = tmp_path / "runs/alike" / latest["steps"][step]
        return json.loads((home / "manifest.json").read_text("utf-8")), home

    manifest, home = state("near")
    dropped = pl.read_parquet(home / "dropped/*.parquet").sort("reason", descending=True)
    assert manifest["rows"]["by_reason"] == {"near duplicate": 1, "duplicate of an earlier row": 2}
    told = json.loads(dropped["evidence"][0])
    raw = pl.read_parquet(state("raw")[1] / "part-*.parquet")
    by_id = dict(zip(raw["row_id"], raw["prompt"], strict=True))
    assert by_id[dropped["row_id"][0]] == "The dog runs"  # it has fewer stars
    assert by_id[told["kept"]] == "the hound sprints"
    facts = manifest["metrics"]
    assert (facts["rows_cut"], facts["max_tokens"]) == (1, 4)
    assert facts["rows_without_vector"]["rows"] == 1
    strict, _ = state("strict")
    assert strict["rows"]["dropped"] == 0
    assert not (home / ".scratch").exists()


def test_a_model_that_only_generates_cannot_embed(tmp_path):
    (tmp_path / "new.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}', "utf-8")
    folder = tmp_path / "chat"
    folder.mkdir()
    (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}', "utf-8")
    (folder / "model.safetensors").write_bytes(b"")
    for model, message in (
        (f"path: {folder}", r"is a model that generates \(LlamaForCausalLM\), not one that embeds"),
        (
            "endpoint: 'http://localhost:1/v1', identity: x@1, options: {model: m}",
            r"is an endpoint",
        ),
    ):
        recipe = tmp_path / "x.yaml"
        recipe.write_text(
            f"name: x\nmodels: {{m: {{{model}}}}}\nsteps:\n"
            "  raw: {use: ingest.files, path: new.jsonl}\n"
            "  near: {use: dedup.semantic, from: raw, model: m}\n",
            "utf-8",
        )
        with pytest.raises((ServiceError, RecipeError), match=message):
            databuild.run(recipe, runs=tmp_path / "runs")
