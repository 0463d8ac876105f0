"""generate.self_instruct: from a few seed tasks to many, each with an example."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import polars as pl
from pydantic import Field, model_validator

from databuild.engine.step import Produced, shortfall, step
from databuild.generate.answering import ATTRIBUTES, Ask, PromptedConfig, asked_in
from databuild.generate.self_instruct_asking import Asking
from databuild.generate.self_instruct_heads import Group, Task, grouped
from databuild.generate.self_instruct_rounds import REACHED, Rounds
from databuild.generate.self_instruct_texts import BANNED, TYPES, openings_of
from databuild.models.templates import Prompts
from databuild.recipe.options import Column, Names

if TYPE_CHECKING:
    from collections.abc import Sequence

_PROMPTS = Prompts(
    Path(__file__).parent / "prompts" / "self_instruct",
    {
        "instructions": ("tasks", "first", "last"),
        "kind": ("instruction",),
        "input_first": ("instruction", "count"),
        "output_first": ("instruction", "count"),
    },
)
_MADE: dict[str, Any] = {
    "type": pl.String,
    "is_classification": pl.Boolean,
    "topic": pl.String,
    "language": pl.String,
    "round": pl.Int64,
    "head_made": pl.List(pl.String),
    "agreement": pl.Float64,
    "prompt_name": pl.String,
    "prompt_digest": pl.String,
}
_CONTENT = ("prompt", "instruction", "input", "response")
_ROWS: dict[str, Any] = {
    "parent_ids": pl.List(pl.String),
    **dict.fromkeys(_CONTENT, pl.String),
    **ATTRIBUTES,
    **_MADE,
}
_LOST: dict[str, Any] = {
    "parent_ids": pl.List(pl.String),
    "error": pl.String,
    "retry": pl.Boolean,
    "stage": pl.String,
    "round": pl.Int64,
    "text": pl.String,
    "nearest": pl.String,
}


_DROPPED: dict[str, Any] = {"row_id": pl.String, "reason": pl.String}


class SelfInstructConfig(PromptedConfig):
    """Options of `generate.self_instruct`."""

    instruction: Column = "instruction"
    """The seed tasks: what is to be done, without what it is to be done on."""
    target: int = Field(ge=1)
    """How many rows are wanted. It stops there, or short of it when it must: see `shortfall`."""
    max_requests: int | None = Field(default=None, ge=1)
    """The most requests of all stages together, those that the journal answers too."""
    topic: Column | None = None
    """Seeds with an equal value here make a topic: heads never mix topics, and a made row has the
    topic of its head."""
    topics: Mapping[str, float] = {}
    """The share of the target that each topic gets; seeds of other topics are not used. Without
    it topics share as their seeds do. Within a topic, languages share as their seeds do."""
    types: Mapping[str, float] = {}
    """The largest share of the target that rows of a type may have: `classification`, `question`
    (of no label), `generation` (everything else)."""
    heads: int = Field(default=16, ge=1)
    """The most prompts for new tasks in a round. The next round sees what this one kept."""
    head_seeds: int = Field(default=6, ge=1)
    """Seeds in a prompt."""
    head_made: int = Field(default=2, ge=0)
    """Tasks of earlier rounds in a prompt; until there are any, seeds take their places."""
    new_per_head: int = Field(default=8, ge=1)
    """New tasks that a prompt asks for."""
    instances: int = Field(default=1, ge=1)
    """Examples of each task at most."""
    novelty: float = Field(default=0.7, gt=0, le=1)
    """A task is new while its ROUGE-L with every seed and every new task before is below this."""
    min_instruction_tokens: int = Field(default=4, ge=1)
    """Shortest task in tokens: words, or characters of scripts without spaces."""
    max_instruction_tokens: int = Field(default=150, ge=1)
    """Longest task in tokens."""
    banned: Names = BANNED
    """A task with one of these words or phrases is not kept. The default names what only a reader
    or writer of pictures, files and programs can do."""
    max_opening_ratio: float = Field(default=0.1, gt=0, le=1)
    """At most this share of the target may begin with the same two tokens, 1 task at least."""
    consistency: int = Field(default=0, ge=0)
    """Further answers that are asked of each example, to see whether they agree with its own."""
    min_label_agreement: float = Field(default=0.5, ge=0, le=1)
    """Classification: the least share of the further answers that say the example's label."""
    min_text_agreement: float = Field(default=0.2, ge=0, le=1)
    """Otherwise: the least mean ROUGE-L of all pairs of its answer and the further ones."""
    min_accept_ratio: float = Field(default=0.02, ge=0, le=1)
    """A group (topic and language) is given up when, over its last `patience` rounds, no more than
    this share of its tasks became rows."""
    patience: int = Field(default=3, ge=1)
    """Rounds over which `min_accept_ratio` is taken."""

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        unknown = sorted(set(self.types) - set(TYPES))
        if unknown:
            msg = f"types has {unknown[0]!r}; the types are {', '.join(TYPES)}"
            raise ValueError(msg)
        for name, shares in (("types", self.types), ("topics", self.topics)):
            if any(not 0 <= share <= 1 for share in shares.values()):
                msg = f"{name}: a share is from 0 to 1"
                raise ValueError(msg)
        if len(self.types) == len(TYPES) and sum(self.types.values()) < 1:
            msg = "the largest shares of all types together are below 1: no target can be reached"
            raise ValueError(msg)
        if self.topics and (self.topic is None or not sum(self.topics.values())):
            msg = "topics gives shares: name the column in `topic`, and give one a share above 0"
            raise ValueError(msg)
        if self.temperature == 0:
            msg = "temperature 0 makes the same tasks again and again: raise it"
            raise ValueError(msg)
        if self.min_instruction_tokens > self.max_instruction_tokens:
            msg = "min_instruction_tokens is above max_instruction_tokens"
            raise ValueError(msg)
        return self


@step(
    "generate.self_instruct",
    kind="produce",
    sees="table",
    version=2,
    adds=(*_CONTENT, *ATTRIBUTES, *_MADE),
    attributes=(*ATTRIBUTES, *_MADE),
    brings=lambda config: _PROMPTS.shipped(config.prompts),
    checks=lambda _config, files: _PROMPTS.check(files),
)
def bootstrap_instructions(
    rows: pl.DataFrame,
    config: SelfInstructConfig,
    *,
    generator: Ask,
    seed: int,
    models: Mapping[str, str],
    files: Sequence[Path],
) -> Produced:
    """Let a model make new tasks from seed tasks, and an example of each.

    Self-Instruct (Wang et al. 2023, arXiv:2212.10560, section 2.2), in rounds. Every round draws
    few-shot heads of seeds and of tasks kept before, and asks for new tasks. A task goes on when it
    breaks no rule (`self_instruct_texts.faults_of`), is in its head's language, and its ROUGE-L
    with every seed and every new task before is below `novelty`, all of them compared exactly. The
    model then says whether it is a classification, writes an example (label first for those, input
    first otherwise), and where `consistency` asks for it answers the example again. Seeds, heads
    and rounds of another language or topic do not mix.

    A round depends on the rounds before and on nothing else, so a run that was killed asks the same
    again and finds it in the journal. Rows are kept in the order of the heads, never of answers.

    Args:
        rows: Seeds with `row_id` and `config.instruction`, and `config.topic` if it is named.
        config: See `SelfInstructConfig`.
        generator: Answers requests.
        seed: The step's seed.
        models: The identity of the model, under "model".
        files: The user's own prompts.

    Returns:
        At most `config.target` rows of `prompt` (the task and, after a blank line, its input),
        `instruction`, `input` ("" for none) and `response`. Parents are the seeds of the head;
        `head_made` are its other tasks. In `failed` every other task and example, with the `stage`
        where it fell, its `text`, and for one that is not new the `nearest`. A seed is dropped when
        it is blank, is another's equal, has a topic without a share, or stood in no head. `facts`:
        `shortfall` by group, `stopped`, `rounds`, `lost`, `types`, `requests`, `tokens`.

    Raises:
        StepError: jinja2 or rapidfuzz is not installed.

    Example:
        >>> from databuild.models.fake import FakeGenerator
        >>> rows = pl.DataFrame({"row_id": ["a"], "instruction": ["Name three yellow fruits."]})
        >>> ask = lambda requests: {a.id: a for a in FakeGenerator().stream(requests)}
        >>> config = SelfInstructConfig(model="start", target=5)
        >>> given = {"seed": 7, "models": {"model": "fake@1"}, "files": ()}
        >>> made = bootstrap_instructions(rows, config, generator=ask, **given)
        >>> made.rows.height, made.facts["stopped"]
        (5, 'target reached')
    """
    groups, dropped = _groups(rows, config)
    asking = Asking(generator, config.max_requests)
    prompts = _PROMPTS.read(tuple(files))
    rounds = Rounds(config, groups, prompts, asking, seed, models["model"])
    stopped = rounds.run() if any(group.seeds for group in groups) else "no seeds"
    return _produced(rounds, groups, dropped, stopped)


def _produced(
    rounds: Rounds,
    groups: Sequence[Group],
    dropped: list[tuple[str | None, str]],
    stopped: str,
) -> Produced:
    """All that came of the loop, every seed and every task accounted for."""
    failed = pl.DataFrame(rounds.lost, schema=_LOST, orient="row")
    if stopped == "target reached":  # another run has nothing to mend
        failed = failed.with_columns(retry=False)
    used = {parent for row in rounds.rows for parent in row["parent_ids"]}
    used |= {parent for lost in rounds.lost for parent in lost.parent_ids}
    unused = [
        (task.row_id, "stood in no head")
        for group in groups
        for task in group.seeds
        if task.row_id not in used
    ]
    return Produced(
        rows=pl.DataFrame(rounds.rows, schema=_ROWS, orient="row"),
        failed=failed,
        dropped=pl.DataFrame([*dropped, *unused], schema=_DROPPED, orient="row"),
        notes={"turned_away": rounds.turned_away},
        facts=_facts(rounds, groups, stopped),
    )


def _groups(
    rows: pl.DataFrame, config: SelfInstructConfig
) -> tuple[list[Group], list[tuple[str | None, str]]]:
    """The seeds by topic and language, and those that are none, whatever the order of rows."""
    topic = pl.lit(None, dtype=pl.String) if config.topic is None else pl.col(config.topic)
    text = pl.col(config.instruction).cast(pl.String).str.strip_chars()
    listed = rows.select(
        "row_id",
        text=text,
        topic=topic.cast(pl.String),
        language=asked_in(config.language, [config.instruction]),
    ).sort("row_id")
    begins = openings_of(listed["text"].fill_null("").to_list())
    seeds, dropped, first = [], [], dict[str, str]()
    for (row_id, one, of, language), opening in zip(listed.iter_rows(), begins, strict=True):
        if not opening:
            dropped.append((row_id, "no instruction"))
        elif one in first:
            dropped.append((row_id, f"same seed: {first[one]}"))
        elif config.topics and of not in config.topics:
            dropped.append((row_id, f"no share for its topic: {of}"))
        else:
            first[one] = row_id
            seeds.append((Task(one, opening, row_id), of, language))
    return grouped(seeds, config.target, config.topics), dropped


def _facts(rounds: Rounds, groups: Sequence[Group], stopped: str) -> dict[str, Any]:
    """What the manifest says of the loop, plain JSON."""
    asking, config = rounds.asking, rounds.config
    asked = [(group.name, group.wanted, group.kept) for group in groups]
    if not groups:
        asked = [("seeds", config.target, 0)]
    tasks = sum(one["tasks"] for one in rounds.facts)
    kept = len(rounds.rows)
    begun = Counter(opening for opening, n in rounds.openings.items() for _ in range(n))
    return {
        "shortfall": shortfall(asked),
        "stopped": stopped,
        "target": config.target,
        "kept": kept,
        "accept_ratio": round(kept / tasks, 4) if tasks else 0.0,
        "lost": dict(Counter(one.error.partition(":")[0] for one in rounds.lost).most_common()),
        "over_target": sum(one.error == REACHED for one in rounds.lost),
        "types": dict(rounds.types.most_common()),
        "openings": {"different": len(begun), "most": dict(begun.most_common(10))},
        "requests": dict(asking.requests),
        "tokens": {
            "prompt": dict(asking.prompt_tokens),
            "completion": dict(asking.completion_tokens),
        },
        "rounds": rounds.facts,
    }
