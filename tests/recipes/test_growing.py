"""Rewrites of every kind, critiques and a search for solutions run in one recipe on the fake model."""

from __future__ import annotations

import json

import polars as pl

from databuild import api

WAYS = ["paraphrase", "synonyms", "back_translation", "deeper", "broader", "harder"]
RECIPE = """
name: growing
seed: 11
models: {start: {fake: {skill_ratio: 0.85}}}
steps:
  raw: {use: ingest.files, path: talks.jsonl}
  anew: {use: generate.rewrite, from: raw, model: start, tries: 3, max_failure_ratio: 0.5,
         how: [paraphrase, synonyms, back_translation, deeper, broader, harder]}
  answers: {use: generate.respond, from: anew, model: start, k: 2}
  better: {use: generate.critique, from: answers, model: start, rounds: 2, tries: 3,
           max_failure_ratio: 0.5}
  sums: {use: ingest.files, path: sums.jsonl}
  thoughts: {use: generate.reason, from: sums, model: start, answer: gold, hint: false,
             search: {width: 2, branch: 4, depth: 5}, max_failure_ratio: 1.0}
"""
TALKS = [
    "Explain why bread rises in a warm kitchen.",
    'Write a note of 40 words to the baker, and call her "Aunt May".',
    "How do bees find their way home after a storm?",
    "请说明为什么面包在温暖的厨房里会发起来。",
    "写一封给面包师的短信，谢谢她上周送来的3个面包。",
]
SUMS = [
    ("Start with 7. Add 5. Multiply by 3. Take away 4. What number is it?", "32"),
    ("从9开始，加上6，乘以2，减去5，得到什么数？", "25"),
    ("A box holds 6 pens, and each of 4 boxes is full. How many pens are there in all?", "24"),
]


def write(folder):
    talks = [{"prompt": one} for one in TALKS]
    sums = [{"prompt": one, "gold": gold} for one, gold in SUMS]
    for name, told in (("talks", talks), ("sums", sums)):
        lines = (json.dumps(one, ensure_ascii=False) for one in told)
        (folder / f"{name}.jsonl").write_text("\n".join(lines), "utf-8")
    (folder / "r.yaml").write_text(RECIPE, "utf-8")
    return folder / "r.yaml"


def made(folder, step, part=""):
    found = sorted((folder / "runs" / "growing").glob(f"{step}-*/{part}part-*.parquet"))
    return pl.concat([pl.read_parquet(one) for one in found], how="diagonal_relaxed")


def is_chinese(column):
    return pl.col(column).str.contains(r"\p{Han}")


def test_the_fake_model_gives_plausible_rows_and_a_second_run_pays_nothing(tmp_path):
    recipe = write(tmp_path)
    api.run(recipe, runs=tmp_path / "runs", workers=1)
    anew = made(tmp_path, "anew")
    by_way = dict(anew.group_by("how").len().iter_rows())
    assert set(by_way) == set(WAYS)
    assert sum(by_way.values()) >= 24  # of 5 prompts in 6 ways
    assert min(by_way.values()) >= 3
    assert anew.filter(is_chinese("prompt"))["how"].n_unique() == len(WAYS)
    assert anew["prompt"].n_unique() == anew.height
    kept = anew.filter(~pl.col("how").is_in(["deeper", "broader", "harder"]))
    assert kept.filter(pl.col("prompt").str.contains("40"))["prompt"].str.contains("Aunt May").all()

    answers, better = made(tmp_path, "answers"), made(tmp_path, "better")
    assert answers.height == 2 * anew.height
    content = made(tmp_path, "better", "dropped/")
    assert "the critic finds nothing to change" in set(content["reason"])
    assert better.height > content.height > 0
    assert (better["critique_rounds"] <= 2).all()
    assert (better["response"].str.len_chars() > 0).all()

    thoughts = made(tmp_path, "thoughts")
    assert set(thoughts["response"]) == {gold for _, gold in SUMS}
    assert thoughts["reasoning"].str.contains(r"\d+ [-+*] \d+ = \d+").all()

    journals = {path: path.read_bytes() for path in (tmp_path / "runs").glob("journals/*/*.jsonl")}
    assert len(journals) == 1
    api.run(recipe, runs=tmp_path / "runs", workers=1, from_step="anew")
    assert {path: path.read_bytes() for path in journals} == journals
    assert made(tmp_path, "better")["row_id"].equals(better["row_id"])
