"""Which scorer agrees with people how often, by length: `reward.calibrate` on pairs people judged.

    python tests/bench/calibration.py pairs.parquet folder measures|judge|page [out.json]

`pairs.parquet` has source, id, lang, prompt, response_a, response_b, label (a, b, tie) and
strength; people's choices of five public sets (PandaLM, LLMBar, LLaMA-Factory's DPO demos in English
and Chinese, MedicalGPT). It is not part of the project. Sides of a source that always prefers a are
shuffled by a hash. The three parts are run in turn; each goes on where it was stopped:

- `measures`: `measure.answer` and `measure.relevance` of both answers of all pairs;
  `measure.difficulty` by the packaged 135M model for `N_READ` pairs;
- `judge`: `reward.compare` and `reward.judge` (1 to 5) by the same model through vLLM for
  `N_JUDGED` pairs; scorers whose step was not run are left out of the page;
- `page`: the calibration page in `folder`, and its figures, without any text, in `out.json`.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import xxhash

import databuild
from databuild.reward.calibrate import CalibrateConfig, calibrate_scorers

HERE = Path(__file__).parent
N_READ, N_JUDGED = 300, 60
"""How many pairs the model reads, and judges (English ones): drawn by a hash of their ids."""
MOST_CHARS = 1_500
"""Of the prompt and both answers together, so that they fit into the judge's context."""
SIDES = ("a", "b")

MEASURES = """
name: measures
models:
  start: {packaged: smollm2-135m-instruct}
  meaning: {packaged: all-minilm-l6-v2}
steps:
  pairs:   {use: ingest.files, path: pairs.parquet}
  flags_a: {use: measure.answer, from: pairs, response: response_a}
  flags_b: {use: measure.answer, from: flags_a, response: response_b}
  near_a:  {use: measure.relevance, from: flags_b, response: response_a, model: meaning}
  near_b:  {use: measure.relevance, from: near_a, response: response_b, model: meaning}
  few:     {use: sample.where, from: near_b, keep: is_read}
  read_a:  {use: measure.difficulty, from: few, response: response_a, model: start}
  read_b:  {use: measure.difficulty, from: read_a, response: response_b, model: start}
"""
JUDGE = """
name: judge
models:
  start: {packaged: smollm2-135m-instruct, options: {max_model_len: 2048, max_num_seqs: 64, kv_cache_gib: 2}}
steps:
  few:    {use: ingest.files, path: judged.parquet}
  said:   {use: reward.compare, from: few, model: start, name: said}
  one_a:  {use: reward.judge, from: said, model: start, response: response_a, name: one_a, high: 5}
  one_b:  {use: reward.judge, from: one_a, model: start, response: response_b, name: one_b, high: 5}
"""


def read_pairs(path: Path) -> pl.DataFrame:
    """The pairs with `pair` (their id), `vote`, and who looks at them."""
    rows = pl.read_parquet(path).with_row_index("n")
    rows = rows.with_columns(pair=pl.format("{}-{}-{}", "source", "id", "n"))
    hashes = pl.Series([xxhash.xxh3_64_intdigest(one.encode()) for one in rows["pair"]])
    one_sided = rows.group_by("source").agg(pl.col("label").n_unique() == 1).filter("label")
    flip = pl.col("source").is_in(one_sided["source"].implode()) & (pl.col("hash") % 2 == 1)
    chars = sum(pl.col(c).str.len_chars() for c in ("prompt", "response_a", "response_b"))
    is_short, order = (
        (chars <= MOST_CHARS) & (pl.col("lang") == "en"),
        pl.col("hash").rank("ordinal"),
    )
    swapped = {"a": "b", "b": "a"}
    return rows.with_columns(hash=hashes).select(
        "pair",
        "source",
        "lang",
        "prompt",
        response_a=pl.when(flip).then("response_b").otherwise("response_a"),
        response_b=pl.when(flip).then("response_a").otherwise("response_b"),
        vote=pl.when(flip).then(pl.col("label").replace(swapped)).otherwise("label"),
        agreed=pl.when(pl.col("strength") == 1)
        .then(pl.lit("all annotators"))
        .when(pl.col("strength") < 1)
        .then(pl.lit("two of three")),
        is_read=order <= N_READ,
        is_judged=is_short & (order.over(is_short) <= N_JUDGED),
    )


def run(folder: Path, name: str, recipe: str) -> None:
    path = folder / f"{name}.yaml"
    path.write_text(recipe, "utf-8")
    start = time.perf_counter()
    databuild.run(path, runs=folder / "runs")
    print(name, f"{time.perf_counter() - start:.0f} s")


def scored(folder: Path, pairs: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, Any]]:
    """The pairs with every score that was made; facts of the pairwise judge."""
    runs = folder / "runs"
    faults = [pl.col(f"response_{s}_faults").list.len().alias(f"faults_{s}") for s in SIDES]
    tables: dict[str, list[Any]] = {
        "near_b": [*faults, *(f"response_{s}_relevance" for s in SIDES)],
        "read_b": [f"response_{s}_{m}" for s in SIDES for m in ("ifd", "given_nll")],
        "said": ["said_preference"],
        "one_b": [f"one_{s}_score" for s in SIDES],
    }
    made = {
        step: recipe
        for recipe in ("measures", "judge")
        for step, manifest in databuild.status(recipe, runs=runs).items()
        if manifest.status == "complete"
    }
    for step, columns in tables.items():
        if step in made:
            held = databuild.show(step, made[step], runs=runs).select("pair", *columns)
            pairs = pairs.join(held, on="pair", how="left")
    position: dict[str, Any] = {
        step: databuild.status("judge", runs=runs)[step].metrics
        for step in ("said",)
        if step in made
    }
    worse = [
        (-pl.col(name)).alias(f"minus_{name}")
        for s in SIDES
        for name in (f"response_{s}_ifd", f"response_{s}_given_nll", f"faults_{s}")
        if name in pairs.columns
    ]
    return pairs.with_columns(pl.col("^faults_.$").cast(pl.Int64)).with_columns(worse), position


def page(folder: Path, pairs: pl.DataFrame, out: Path) -> None:
    rows, position = scored(folder, pairs)
    scores: dict[str, Any] = {
        "few faults": ["minus_faults_a", "minus_faults_b"],
        "relevance": ["response_a_relevance", "response_b_relevance"],
        "low IFD": ["minus_response_a_ifd", "minus_response_b_ifd"],
        "low perplexity": ["minus_response_a_given_nll", "minus_response_b_given_nll"],
        "judge 1 to 5": ["one_a_score", "one_b_score"],
        "pairwise, said": "said_preference",
    }
    there = {
        name: columns
        for name, columns in scores.items()
        if {*([columns] if isinstance(columns, str) else columns)} <= set(rows.columns)
    }
    config = CalibrateConfig(label="vote", scores=there, by=["source", "lang", "agreed"])
    start = time.process_time()
    facts = calibrate_scorers(rows.rename({"pair": "row_id"}), config, out=folder, seed=7)
    seconds = time.process_time() - start
    found = json.loads((folder / "calibration.json").read_text("utf-8"))
    told = {
        "what": "agreement of scorers with people on 1,313 public pairs (percent as shares)",
        "model": "SmolLM2-135M-Instruct as reader and judge",
        "python": platform.python_version(),
        "polars": pl.__version__,
        "calibrate_cpu_s": round(seconds, 2),
        "skipped": len(facts.get("rows_skipped", ())),
        "position": position,
        **found,
    }
    out.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", "utf-8")


def main() -> None:
    source, folder, part = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    folder.mkdir(parents=True, exist_ok=True)
    pairs = read_pairs(source)
    if not (folder / "pairs.parquet").exists():
        pairs.drop("is_judged").write_parquet(folder / "pairs.parquet")
    pairs.filter("is_judged").drop("is_read", "is_judged").write_parquet(folder / "judged.parquet")
    if part == "page":
        page(folder, pairs, Path(sys.argv[4]) if len(sys.argv) > 4 else HERE / "calibration.json")
    else:
        run(folder, part, {"measures": MEASURES, "judge": JUDGE}[part])


if __name__ == "__main__":
    main()
