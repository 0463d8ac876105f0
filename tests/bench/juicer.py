"""data-juicer's operators and ours on the same rows: CPU time, and where their values agree.

    python tests/bench/juicer.py <python with py-data-juicer> [out.json] [rows]

That Python runs this file's `--side` as a child, three times, in turn with ours; each side says what
it used (`time.process_time`), best of three. Operators are data-juicer's own, with their defaults,
called with batches of 1000 texts as its executor does (without its cost of reading and writing).
Ours are called in the form that is nearest: an expression or text function for one operator, or the
whole step where a step is what a user can call. The answers of tests/bench/measures.py are the texts,
with mark-up, addresses and odd spaces added to one in four for the mappers.

Needs, beside py-data-juicer and its requirements, only aiohttp: the first operator that is made asks
for ray and tries to install it; where it may not, that one fails and the next is made.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FILTERS = (
    ("text_length_filter", "TextLengthFilter"),
    ("words_num_filter", "WordsNumFilter"),
    ("character_repetition_filter", "CharacterRepetitionFilter"),
    ("word_repetition_filter", "WordRepetitionFilter"),
    ("special_characters_filter", "SpecialCharactersFilter"),
    ("alphanumeric_filter", "AlphanumericFilter"),
    ("language_id_score_filter", "LanguageIDScoreFilter"),
    ("stopwords_filter", "StopWordsFilter"),
    ("flagged_words_filter", "FlaggedWordFilter"),
)
MAPPERS = (
    ("fix_unicode_mapper", "FixUnicodeMapper"),
    ("whitespace_normalization_mapper", "WhitespaceNormalizationMapper"),
    ("clean_html_mapper", "CleanHtmlMapper"),
    ("clean_email_mapper", "CleanEmailMapper"),
    ("clean_ip_mapper", "CleanIpMapper"),
    ("clean_links_mapper", "CleanLinksMapper"),
)
_BATCH = 1000
DIFFERENCES = {
    "WordsNumFilter": "splits at spaces: a Chinese text is one word or a few; ours counts its characters",
    "WordRepetitionFilter": "runs of 10 words that occur more than once; ours runs of 3 that came before",
    "SpecialCharactersFilter": "has its own list; compared with 1 - the share of letters and marks",
    "FixUnicodeMapper": "ftfy with all its rules (quotes, ligatures); fix.mojibake only the mojibake",
    "WhitespaceNormalizationMapper": "kinds of spaces; fix.normalize also NFC, invisible characters, runs",
    "CleanEmailMapper": "fix.mask leaves addresses of reserved domains (.example), which are nobody's",
    "CleanIpMapper": "fix.mask leaves private addresses (10.0.0.0/8)",
    "CharacterRepetitionFilter, CleanLinksMapper": "nothing of ours does the same",
}


def texts(n: int) -> list[str]:
    from tests.bench.measures import text

    odd = (
        "<p>{}</p><ul><li>one</li><li>two &amp; three</li></ul>",
        "{} Write to rose.{i}@garden.example or see https://garden.example/beds/{i}?a=1.",
        "{}\u00a0\u2003The host is 10.0.{k}.7, and it\u2019s \ufb01ne.",
        "{} schÃ¶n fÃ¼r {i}",
    )
    made = [text(i)[1] for i in range(n)]
    return [
        odd[i // 4 % 4].format(one, i=i, k=i % 250) if i % 4 == 0 else one
        for i, one in enumerate(made)
    ]


def side(rows: list[str]) -> dict[str, dict]:
    """Every operator of data-juicer that runs: seconds and values; else what went wrong."""
    from importlib import import_module

    with contextlib.suppress(ImportError):
        import_module("data_juicer.ops.filter.text_length_filter").TextLengthFilter()
    told: dict[str, dict] = {}
    batches = [rows[i : i + _BATCH] for i in range(0, len(rows), _BATCH)]
    for module, name in (*FILTERS, *MAPPERS):
        folder = "mapper" if module.endswith("mapper") else "filter"
        try:
            loaded = import_module(f"data_juicer.ops.{folder}.{module}")
            operator = getattr(loaded, name)()
            operator_runs(operator, folder, batches[0][:10])  # loads what it loads once
            started = time.process_time()
            values = [
                value for batch in batches for value in operator_runs(operator, folder, batch)
            ]
            told[name] = {"seconds": time.process_time() - started, "values": values}
        except Exception as error:  # noqa: BLE001 -- any trouble of a peer is a result
            told[name] = {
                "not_run": f"{type(error).__name__}: {str(error)[:160].replace(str(Path.home()), '~')}"
            }
    return told


def operator_runs(operator: Any, folder: str, batch: list[str]) -> list:
    if folder == "mapper":
        return operator.process_batched({"text": list(batch)})["text"]
    samples = {"text": list(batch), "__dj__stats__": [{} for _ in batch]}
    try:
        stats = operator.compute_stats_batched(samples)["__dj__stats__"]
    except (AttributeError, NotImplementedError):
        one = operator.compute_stats_single
        stats = [one({"text": t, "__dj__stats__": {}})["__dj__stats__"] for t in batch]
    return [next(iter(stat.values())) for stat in stats]


# One step of ours for several operators of theirs: (options, the operators it does the work of).
STEPS = {
    "measure.basics": (
        {"column": "response"},
        ("TextLengthFilter", "WordsNumFilter", "WordRepetitionFilter"),
    ),
    "measure.characters": (
        {"column": "response"},
        ("SpecialCharactersFilter", "AlphanumericFilter"),
    ),
    "measure.language": ({"column": "response"}, ("LanguageIDScoreFilter",)),
    "fix.normalize": ({"columns": ("response",)}, ("WhitespaceNormalizationMapper",)),
    "fix.mojibake": ({"columns": ("response",)}, ("FixUnicodeMapper",)),
    "fix.html": ({"columns": ("response",)}, ("CleanHtmlMapper",)),
    "fix.mask": (
        {"columns": ("response",), "types": ("email", "ip_address")},
        ("CleanEmailMapper", "CleanIpMapper"),
    ),
}


def ours(rows: list[str]) -> dict[str, dict]:
    """Every step that does the same work: seconds and columns (of a fix, the texts)."""
    import polars as pl

    from databuild.engine.step import Produced
    from databuild.steps import all_steps

    steps = all_steps()
    frame = pl.DataFrame({"row_id": [f"{i:06d}" for i in range(len(rows))], "response": rows})
    told = {}
    for name, (options, _) in STEPS.items():
        config = steps[name].config(**options)
        given = {"seed": 1} if "seed" in steps[name].needs else {}
        steps[name].run(frame.head(10), config, **given)
        started = time.process_time()
        made = steps[name].run(frame, config, **given)
        seconds = time.process_time() - started
        if isinstance(made, Produced):
            texts_of = made.rows.select(
                row_id=pl.col("parent_ids").list.first(), text=pl.col("response")
            )
            made = frame.select("row_id").join(texts_of, on="row_id", how="left")
        told[name] = {"seconds": seconds, "values": made}
    return told


def agreement(theirs: dict[str, dict], mine: dict[str, dict], rows: list[str]) -> dict:
    """Where definitions coincide: shares of equal values, or the largest difference."""
    import polars as pl

    value = {name: found["values"] for name, found in theirs.items() if "values" in found}
    basics, signs = mine["measure.basics"]["values"], mine["measure.characters"]["values"]
    table = basics.join(signs, on="row_id").with_columns(
        pl.Series("length", value["TextLengthFilter"]),
        pl.Series("words", value["WordsNumFilter"]),
        pl.Series("repeats", value["WordRepetitionFilter"]),
        pl.Series("special", value["SpecialCharactersFilter"]),
        pl.Series("alnum", value["AlphanumericFilter"]),
        pl.Series("text", rows),
    )
    col = pl.col
    letters = col("response_letter_ratio") + col("response_digit_ratio")
    other = 1 - col("response_letter_ratio")
    is_zh = col("text").str.contains(r"\p{Han}")
    told = table.select(
        characters_equal=(col("length") == col("response_chars")).mean(),
        words_within_a_tenth_not_zh=(
            (col("words") - col("response_words")).abs() <= 0.1 * col("response_words")
        )
        .filter(~is_zh)
        .mean(),
        words_within_a_tenth_zh=(
            (col("words") - col("response_words")).abs() <= 0.1 * col("response_words")
        )
        .filter(is_zh)
        .mean(),
        alphanumeric_largest_difference=(col("alnum") - letters).abs().max(),
        special_mean_difference=(col("special") - other).abs().mean(),
        repetition_rank_correlation=pl.corr(
            "repeats", "response_repetition_ratio", method="spearman"
        ),
    ).row(0, named=True)
    for step, operators in (
        ("fix.normalize", ("WhitespaceNormalizationMapper",)),
        ("fix.mojibake", ("FixUnicodeMapper",)),
        ("fix.html", ("CleanHtmlMapper",)),
        ("fix.mask", ("CleanEmailMapper", "CleanIpMapper")),
    ):
        after = mine[step]["values"]["text"].to_list()
        changed = [any(value[name][i] != rows[i] for name in operators) for i in range(len(rows))]
        same = [(after[i] != rows[i]) == changed[i] for i in range(len(rows))]
        told[f"{step}_same_rows_changed"] = sum(same) / len(rows)
        if len(operators) == 1:
            plain = [" ".join((one or "").split()) for one in after]
            equal = [plain[i] == " ".join(value[operators[0]][i].split()) for i in range(len(rows))]
            told[f"{step}_same_text_but_spaces"] = sum(equal) / len(rows)
    return {name: None if one is None else round(one, 4) for name, one in told.items()}


def main(python: str, out: Path, n: int) -> None:
    rows = texts(n)
    best: dict[str, float] = {}
    theirs: dict[str, Any] = {}
    mine: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "in.json", Path(folder) / "out.json"
        given.write_text(json.dumps(rows), encoding="utf-8")
        for _ in range(3):
            command = [python, str(Path(__file__).resolve()), "--side", str(given), str(made)]
            env = {**os.environ, "PIP_NO_INDEX": "1", "UV_OFFLINE": "1", "PYTHONPATH": ""}
            subprocess.run(command, check=True, env=env, capture_output=True)
            theirs, mine = json.loads(made.read_text(encoding="utf-8")), ours(rows)
            for name, found in (*theirs.items(), *mine.items()):
                if "seconds" in found:
                    best[name] = min(best.get(name, float("inf")), found["seconds"])
    per_10k = {name: round(used * 10_000 / n, 3) for name, used in best.items()}
    told = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    told["data_juicer"] = {
        "version": "1.6.1",
        "rows": n,
        "cpu_seconds_per_10k_rows": per_10k,
        "times_theirs": {
            step: round(sum(per_10k[name] for name in operators) / per_10k[step], 1)
            for step, (_, operators) in STEPS.items()
            if all(name in per_10k for name in operators)
        },
        "same_work": {step: operators for step, (_, operators) in STEPS.items()},
        "definitions_differ": DIFFERENCES,
        "not_run": {name: one["not_run"] for name, one in theirs.items() if "not_run" in one},
        "agreement": agreement(theirs, mine, rows),
    }
    out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(told["data_juicer"], indent=1))


if __name__ == "__main__" and sys.argv[1:2] == ["--side"]:
    found = side(json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")))
    Path(sys.argv[3]).write_text(json.dumps(found), encoding="utf-8")
elif __name__ == "__main__":
    main(
        sys.argv[1],
        Path(*sys.argv[2:3] or [str(HERE / "measures.json")]),
        int((sys.argv[3:4] or ["4000"])[0]),
    )
