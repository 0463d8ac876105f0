"""The one list of steps. A new step is a new line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from databuild.annotate.adjudicate import select_disputed
from databuild.annotate.aggregate import aggregate_votes
from databuild.annotate.agreement import report_agreement
from databuild.annotate.gate import select_reliable
from databuild.annotate.pairs import make_voted_pairs
from databuild.annotate.pull import read_votes
from databuild.annotate.push import put_before_people
from databuild.annotate.simulate import answer_as_people
from databuild.dedup.cluster import cluster_rows
from databuild.dedup.contamination import drop_contaminated
from databuild.dedup.exact import drop_exact_duplicates
from databuild.dedup.index import write_index
from databuild.dedup.minhash import drop_near_duplicates
from databuild.dedup.semantic import drop_similar
from databuild.engine.step import Step, load_plugin
from databuild.errors import RecipeError
from databuild.evaluate.compare import compare_with_base
from databuild.evaluate.fluency import compare_fluency
from databuild.evaluate.match import measure_agreement
from databuild.evaluate.perplexity import measure_perplexity
from databuild.export.jsonl import write_jsonl
from databuild.export.megatron import write_shards
from databuild.export.trainer import write_for_trainer
from databuild.export.trl import write_trl_folder
from databuild.fix.cut_last_turn import cut_last_turn
from databuild.fix.edit import edit_answers
from databuild.fix.html import turn_html_to_text
from databuild.fix.mask import mask_text
from databuild.fix.merge_fragments import merge_fragments
from databuild.fix.mojibake import mend_mojibake
from databuild.fix.normalize import normalize_text
from databuild.fix.split_fused import split_fused_rows
from databuild.flywheel.promote import promote_if_better
from databuild.generate.chunk import chunk_documents
from databuild.generate.critique import revise_answers
from databuild.generate.from_documents import write_questions
from databuild.generate.reason import reason_out
from databuild.generate.related import find_related
from databuild.generate.respond import sample_answers
from databuild.generate.rewrite import rewrite_rows
from databuild.generate.self_instruct import bootstrap_instructions
from databuild.ingest.files import read_files
from databuild.ingest.hub import read_dataset
from databuild.ingest.rows import read_rows
from databuild.measure.answer import measure_answer
from databuild.measure.arithmetic import measure_arithmetic
from databuild.measure.basics import measure_basics
from databuild.measure.characters import measure_characters
from databuild.measure.difficulty import measure_difficulty
from databuild.measure.embedding import measure_embedding
from databuild.measure.frequency import measure_frequency
from databuild.measure.language import measure_language
from databuild.measure.leak import measure_leaks
from databuild.measure.markup import measure_markup
from databuild.measure.pair import measure_pair
from databuild.measure.pii import measure_pii
from databuild.measure.prompt import measure_prompt
from databuild.measure.reasoning import measure_reasoning
from databuild.measure.relevance import measure_relevance
from databuild.measure.rules import measure_rules
from databuild.measure.tokens import measure_tokens
from databuild.measure.turns import measure_turns
from databuild.pairs.best import select_best_answers
from databuild.pairs.graded import make_graded_pairs
from databuild.release.ingesting import read_release
from databuild.reward.calibrate import calibrate_scorers
from databuild.reward.code import measure_code
from databuild.reward.compare import compare_answers
from databuild.reward.ensemble import measure_together
from databuild.reward.file import measure_with_file
from databuild.reward.ifeval import measure_instructions
from databuild.reward.judge import judge_answers
from databuild.reward.match import measure_match
from databuild.reward.maths import measure_maths
from databuild.reward.model import measure_reward
from databuild.reward.verify import measure_obedience
from databuild.sample.curriculum import select_bands
from databuild.sample.diverse import select_diverse
from databuild.sample.mix import mix_rows
from databuild.sample.parts import select_parts
from databuild.sample.split import split_rows
from databuild.sample.stratify import stratify_rows
from databuild.sample.where import select_where
from databuild.train.dpo import train_dpo
from databuild.train.reward import train_reward
from databuild.train.sft import train_sft

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

STEPS: tuple[Step, ...] = (
    read_files,
    read_rows,
    read_dataset,
    read_release,
    measure_basics,
    measure_characters,
    measure_language,
    measure_tokens,
    measure_markup,
    measure_prompt,
    measure_answer,
    measure_arithmetic,
    measure_reasoning,
    measure_pair,
    measure_turns,
    measure_pii,
    measure_rules,
    measure_frequency,
    measure_leaks,
    measure_embedding,
    measure_relevance,
    measure_difficulty,
    normalize_text,
    edit_answers,
    mend_mojibake,
    turn_html_to_text,
    mask_text,
    split_fused_rows,
    cut_last_turn,
    merge_fragments,
    drop_exact_duplicates,
    drop_near_duplicates,
    drop_similar,
    drop_contaminated,
    cluster_rows,
    select_where,
    select_parts,
    split_rows,
    stratify_rows,
    select_bands,
    select_diverse,
    mix_rows,
    chunk_documents,
    find_related,
    write_questions,
    sample_answers,
    bootstrap_instructions,
    rewrite_rows,
    revise_answers,
    reason_out,
    measure_obedience,
    measure_reward,
    measure_instructions,
    measure_match,
    measure_maths,
    measure_code,
    measure_with_file,
    judge_answers,
    compare_answers,
    measure_together,
    calibrate_scorers,
    select_best_answers,
    make_graded_pairs,
    put_before_people,
    answer_as_people,
    read_votes,
    report_agreement,
    select_reliable,
    aggregate_votes,
    select_disputed,
    make_voted_pairs,
    train_sft,
    train_dpo,
    train_reward,
    write_index,
    write_jsonl,
    write_trl_folder,
    write_for_trainer,
    write_shards,
    measure_agreement,
    measure_perplexity,
    compare_with_base,
    compare_fluency,
    promote_if_better,
)


def all_steps(plugins: Iterable[Path] = ()) -> Mapping[str, Step]:
    """Every step by name: databuild's own, then those of a recipe's plugins.

    Raises:
        RecipeError: A plugin cannot be loaded, or takes a name that is taken.
    """
    steps = {step.name: step for step in STEPS}
    for path in plugins:
        for step in load_plugin(path):
            if step.name in steps:
                taken = steps[step.name].module
                what = f"it declares the step {step.name!r}, which {taken} declares already"
                raise RecipeError(str(path), what, fix="give your step another name")
            steps[step.name] = step
    return steps
