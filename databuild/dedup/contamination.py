"""dedup.contamination: rows that hold items of benchmark test sets.

Texts are compared as tokens (`text.tokens`: NFKC, lower case, one per character in scripts
without spaces) after look-alike letters and invisible characters are taken back
(`text.lookalikes`): case, white space, punctuation, width and disguise do not matter, nor what
stands around an item. An item's own wording (see `max_items`) counts for nothing; of the
others, N tokens:

- A row is looked at where it shares a run of the smallest of `ngrams` with an item; with
  `edited`, a run of ceil((N - lost) / (edits + 1)) where that is shorter, with edits = N // 10
  and lost = 15 N // 100, 0 below 10 tokens (some words are several tokens): k edits leave
  k + 1 runs, and one is as long.
- From there item and row are followed both ways over gaps of up to 8 tokens. Tokens that agree
  on the way count, together with those of other shared runs within twice the item's length.
- The row holds the item when `min_share` of the N count (0.5 as in Tulu 3, Lambert et al. 2024,
  section 3.2), and 20 of them or, of shorter items, N - lost.
- An item shorter than its run, or with fewer than `min_tokens` own tokens, must be there word
  for word.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl
from pydantic import Field, field_validator

from databuild.dedup.exam import PLACE, Exam, Rules, read_exam
from databuild.dedup.searching import Hit, search
from databuild.engine.step import DROPPED, Streamed, step
from databuild.errors import StepError
from databuild.recipe.options import FirstColumns, OtherColumns, StepConfig
from databuild.text.conversations import has_conversations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from databuild.engine.parts import Parts
    from databuild.engine.resources import Progress

_TOP = 10
_SHOWN_CHARS = 200


class ContaminationConfig(StepConfig):
    """Options of `dedup.contamination`."""

    columns: FirstColumns = Field(default=("prompt",), min_length=1)
    """The columns of the rows to search, each on its own: texts, lists of texts, or
    conversations."""
    messages: str | None = "messages"
    """The column of conversations, where the rows have one: every turn is searched too; null (`~`)
    leaves it out."""
    in_columns: OtherColumns = ()
    """The columns of the test sets, each value an item of its own; the same as `columns` unless
    said."""
    ngrams: tuple[int, ...] = Field(default=(8, 13), min_length=1)
    """Lengths in tokens. A row must share a run of the smallest with an item; the largest that
    it shares is in the evidence and in the counts."""
    min_share: float = Field(default=0.5, ge=0, le=1)
    """The share of an item's tokens that a row must have; see the text above."""
    edited: bool = True
    """Find short items also where a tenth of the words was replaced, by shorter runs."""
    min_tokens: int = Field(default=5, ge=1)
    """Items with fewer tokens (in scripts without spaces two count as one) are not looked for."""
    max_items: int = Field(default=5, ge=1)
    """A run of the smallest length that stands in more items than this is the exams' own wording,
    such as instructions, and does not count."""
    max_hits: int | None = Field(default=None, ge=0)
    """Stop the run where more rows are contaminated than this."""

    @field_validator("ngrams")
    @classmethod
    def _must_be_runs(cls, ngrams: tuple[int, ...]) -> tuple[int, ...]:
        if min(ngrams) < 3:
            msg = f"ngrams {list(ngrams)} must be 3 tokens or more: two stand everywhere"
            raise ValueError(msg)
        return tuple(sorted(set(ngrams)))


def _reads(config: ContaminationConfig) -> tuple[str, ...]:
    return () if config.in_columns else config.columns


def _also(config: ContaminationConfig) -> tuple[str, ...]:
    return (*([config.messages] if config.messages else []), "source_file", "source_record")


@step(
    "dedup.contamination", kind="select", sees="parts", version=2, reads=_reads, also=_also
)  # fmt: skip
def drop_contaminated(
    rows: Parts,
    config: ContaminationConfig,
    against: Parts | None = None,
    *,
    workers: int = 1,
    progress: Progress | None = None,
    **others: Parts,
) -> Streamed:
    """Drop the rows that hold an item of a benchmark test set, whole or edited.

    Args:
        rows: n rows with `row_id` and `config.columns`.
        config: See `ContaminationConfig`; this module's text defines what a row holds.
        against: A test set with `config.in_columns`.
        workers: How many threads.
        progress: Told of rows searched.
        others: More of them; their names, chosen in the recipe, stand in reasons and counts:
            `from: {rows: clean, gsm8k: exam, mmlu: exam2}`. Each is a table of any step, such as
            `exam: {use: ingest.hub, dataset: openai/gsm8k, subset: main, split: test,
            revision: <commit>}`.

    Returns:
        n rows with `row_id`, `part`, `reason` ("contaminated: <set>") and `evidence`, JSON: `set`,
        `item` (its row_id), its `source_file` and `source_record` where known, `column`, `turn`
        (from 0, in a list or conversation), `n` (the largest of `ngrams` that is shared, else
        null), `run` (the longest run without a difference, in tokens), `share`, `start` and `end`
        (characters of the text) and `text` (what stands there, cut after 200), `items` (how many
        items the row holds; the one with the largest share is told). Neither the order of rows nor
        other rows matter. Facts: `rows_hit`, `items_hit`, `sets`, `by_n`, `top_items`, and `card`,
        one sentence for a dataset card.

    Raises:
        StepError: More rows than `max_hits` are contaminated; there is no test set; numba is not
            installed.
        SchemaError: A column holds neither texts nor lists of texts.

    Example:
        >>> item = "A tram leaves at nine and needs forty minutes. When is it at the harbour?"
        >>> exam = pl.DataFrame({"row_id": ["x"], "question": [item]})
        >>> texts = [f"Solve this. {item.upper()} Thank you!", "When is the tram at the harbour?"]
        >>> rows = pl.DataFrame({"row_id": ["a", "b"], "prompt": texts})
        >>> config = ContaminationConfig(in_columns="question")
        >>> found = drop_contaminated(rows, config, tram=exam)
        >>> found.table.select("row_id", "reason").rows()
        [('a', 'contaminated: tram'), ('b', None)]
        >>> found.facts["card"]
        'Checked against tram (1 item): 1 of 2 rows held an item, whole or edited, and was dropped.'
    """
    exam = _exam({"against": against, **dict(sorted(others.items()))}, config)
    if progress is not None:
        progress.total(rows.n_rows, "rows")
    ids: list[pl.DataFrame] = []
    pairs, hits = search(_read(rows, config, ids, progress), _columns(config), exam, workers)
    facts = _facts(rows.n_rows, pairs, hits, exam, config)
    _check_limit(facts, config)
    return Streamed(_verdicts(ids, hits, exam, config), facts)


def _exam(sets: Mapping[str, Parts | None], config: ContaminationConfig) -> Exam:
    """The items of all test sets that are given."""
    given = {name: table for name, table in sets.items() if table is not None}
    if not given:
        what = "there is no test set to look for"
        raise StepError(
            "dedup.contamination", what, fix="name one: `from: {rows: ..., gsm8k: ...}`"
        )
    rules = Rules(
        min(config.ngrams), config.min_share, config.min_tokens, config.max_items, config.edited
    )
    asked = config.in_columns or config.columns
    return read_exam({name: _whole(table, asked) for name, table in given.items()}, asked, rules)


def _whole(table: Parts, columns: Sequence[str]) -> pl.DataFrame:
    named = [name for name in (*columns, *PLACE) if name in table.columns]
    return pl.concat([table.part(index, *named) for index in range(table.n_parts)])


def _read(
    rows: Parts, config: ContaminationConfig, ids: list[pl.DataFrame], progress: Progress | None
) -> Iterator[pl.DataFrame]:
    """The texts of each part in turn; its `row_id` is added to `ids`."""
    named = [name for name in _columns(config) if name in rows.columns]
    for index in range(rows.n_parts):
        part = rows.part(index, *named)
        ids.append(part.select("row_id"))
        talks = config.messages
        if talks in part.columns and talks not in config.columns:
            part = part if has_conversations(part, talks) else part.drop(talks)
        yield part
        if progress is not None:
            progress.tick(part.height)


def _verdicts(
    ids: Sequence[pl.DataFrame], hits: Sequence[Hit], exam: Exam, config: ContaminationConfig
) -> Iterator[pl.DataFrame]:
    """The verdicts on the rows of each part."""
    told = pl.DataFrame(
        [(hit.row_id, *_told(hit, exam, config)) for hit in hits],
        schema={"row_id": pl.String, "reason": pl.String, "evidence": pl.String}, orient="row",
    )  # fmt: skip
    is_hit = pl.col("reason").is_not_null()
    for rows in ids:
        yield rows.join(told, on="row_id", how="left", maintain_order="left").select(
            "row_id",
            part=pl.when(is_hit).then(pl.lit(DROPPED)).otherwise(pl.lit("kept")),
            reason="reason",
            evidence="evidence",
        )


def _columns(config: ContaminationConfig) -> tuple[str, ...]:
    """All columns that may be searched, in the order in which they are told."""
    talks = [config.messages] if config.messages else []
    return tuple(dict.fromkeys([*config.columns, *talks]))


def _told(hit: Hit, exam: Exam, config: ContaminationConfig) -> tuple[str, str]:
    """The reason and the evidence."""
    item = exam.first[hit.number]
    evidence = {
        "set": item["set"], "item": item["item"],
        **{name: item[name] for name in ("source_file", "source_record") if item[name] is not None},
        "column": hit.column, **({} if hit.turn is None else {"turn": hit.turn}),
        "n": _n(hit.run, config), "run": hit.run, "share": round(hit.share, 4),
        "start": hit.start, "end": hit.end, "text": hit.text[:_SHOWN_CHARS], "items": hit.n_items,
    }  # fmt: skip
    return f"contaminated: {item['set']}", json.dumps(evidence, ensure_ascii=False)


def _n(run: int, config: ContaminationConfig) -> int | None:
    return max((n for n in config.ngrams if n <= run), default=None)


def _facts(
    n_rows: int, pairs: pl.DataFrame, hits: Sequence[Hit], exam: Exam, config: ContaminationConfig
) -> dict[str, Any]:
    held = pairs.join(
        exam.items.select("number", "set", "item"), on="number", maintain_order="left"
    )
    counted = {
        name: (rows_hit, items_hit)
        for name, rows_hit, items_hit in held.group_by("set")
        .agg(pl.col("row_id").n_unique(), pl.col("item").n_unique().alias("items"))
        .iter_rows()
    }
    sets = [
        {
            "set": name, "items": items, "too_short": too_short,
            "rows_hit": counted.get(name, (0, 0))[0], "items_hit": counted.get(name, (0, 0))[1],
        }
        for name, items, too_short in exam.sizes.iter_rows()
    ]  # fmt: skip
    runs = [str(_n(hit.run, config) or "shorter") for hit in hits]
    tops = pairs.group_by("number").len().sort(["len", "number"], descending=[True, False])
    facts = {
        "rows": n_rows, "rows_hit": len(hits), "items_hit": sum(one["items_hit"] for one in sets),
        "sets": sets,
        "by_n": {n: runs.count(n) for n in [*map(str, reversed(config.ngrams)), "shorter"]},
        "top_items": [
            {
                "set": exam.first[number]["set"], "item": exam.first[number]["item"], "rows": n,
                "text": str(exam.first[number]["text"])[:_SHOWN_CHARS],
            }
            for number, n in tops.head(_TOP).iter_rows()
        ],
    }  # fmt: skip
    return {**facts, "card": _card(facts)}


def _card(facts: Mapping[str, Any]) -> str:
    """What was checked and what came of it, in a sentence."""
    names = ", ".join(f"{one['set']} ({_items(one['items'])})" for one in facts["sets"])
    n, rows, items = facts["rows_hit"], facts["rows"], facts["items_hit"]
    found = f"{n:,} of {rows:,} rows" if n else f"none of {rows:,} rows"
    held = "an item" if n <= 1 else f"{_items(items)} between them"
    gone = f" and {'was' if n == 1 else 'were'} dropped" if n else ""
    return f"Checked against {names}: {found} held {held}, whole or edited{',' * (n > 0)}{gone}."


def _items(n: int) -> str:
    return f"{n:,} item{'' if n == 1 else 's'}"


def _check_limit(facts: Mapping[str, Any], config: ContaminationConfig) -> None:
    if config.max_hits is None or facts["rows_hit"] <= config.max_hits:
        return
    by_set = ", ".join(
        f"{one['set']} {one['rows_hit']:,} ({_items(one['items_hit'])})"
        for one in facts["sets"]
        if one["rows_hit"]
    )
    top = facts["top_items"][0]
    what = (
        f"{facts['rows_hit']:,} of {facts['rows']:,} rows hold items of test sets, more than "
        f"max_hits {config.max_hits:,}: {by_set}; most often {top['set']} {top['item']} "
        f"({top['rows']:,} times): {top['text'][:80]!r}"
    )
    fix = (
        "look at them: run with `max_hits: ~`, which drops them, then `databuild show "
        "<step>.dropped`; mend the source, or leave it so"
    )
    raise StepError("dedup.contamination", what, fix=fix)
