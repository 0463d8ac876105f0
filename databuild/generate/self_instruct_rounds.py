"""The rounds of `generate.self_instruct`: tasks, kinds, examples, agreement, until it is enough."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from databuild.generate.answering import asked_in, drawn, want
from databuild.generate.self_instruct_agreement import Disagreement, Example, agreements, joined
from databuild.generate.self_instruct_asking import BUDGET
from databuild.generate.self_instruct_heads import Candidate, Group, Head, next_heads
from databuild.generate.self_instruct_texts import (
    Instance,
    faults_of,
    instance_faults,
    instances_in,
    instructions_in,
    is_classification,
    openings_of,
    type_of,
)
from databuild.models.protocol import Sampling
from databuild.text.rouge import Novelty

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from databuild.generate.self_instruct import SelfInstructConfig
    from databuild.generate.self_instruct_asking import Asking
    from databuild.models.protocol import Answer, Message
    from databuild.models.templates import Template

_KIND = Sampling(temperature=0.0, max_tokens=8)
_HELD = {
    language: _KIND.model_copy(update={"choice": words})
    for language, words in (("en", ("Yes", "No")), ("zh", ("是", "否")))
}
"""Where the engine can hold an answer to one of several texts."""
REACHED = "the target was reached"
NOT_TRIED = "new, and not tried before the end"


class Lost(NamedTuple):
    """Something that became no row, as `failed` says it."""

    parent_ids: list[str]
    error: str
    retry: bool
    stage: str
    round: int
    text: str | None
    nearest: str | None


class Rounds:
    """The state of the loop. It depends on the seeds, the options and the answers alone.

    Args:
        config: The step's options.
        groups: The seeds with what is wanted of each group.
        prompts: Every prompt by name and language.
        asking: Asks the model.
        seed: The step's seed.
        model: The model's identity.
    """

    def __init__(
        self,
        config: SelfInstructConfig,
        groups: Sequence[Group],
        prompts: Mapping[tuple[str, str], Template],
        asking: Asking,
        seed: int,
        model: str,
    ) -> None:
        self.config, self.groups, self.asking = config, groups, asking
        self.rows: list[dict[str, Any]] = []
        self.lost: list[Lost] = []
        self.facts: list[dict[str, Any]] = []
        self.turned_away = 0
        self.types: Counter[str] = Counter()
        self.openings: Counter[str] = Counter()
        self._prompts, self._seed, self._model = prompts, seed, model
        self._new = Novelty(config.novelty)
        self._known = [task.text for group in groups for task in group.seeds]
        self._new.add(self._known)
        self._number = 0

    def run(self) -> str:
        """Go on until the target is reached, or it is hopeless.

        Returns:
            Why it stopped.
        """
        while True:
            why = self._stops()
            if why is not None:
                break
            self._number += 1
            self._round()
        for group in self.groups:
            for one in group.waiting:
                is_full = group.kept >= group.wanted
                self._lose(one.head, REACHED if is_full else NOT_TRIED, "kind", one.text)
        return why

    def _stops(self) -> str | None:
        missing = [group for group in self.groups if group.kept < group.wanted]
        if not missing:
            return "target reached"
        if self.asking.left is not None and self.asking.left <= 0:
            return "request budget spent"
        return "accept rate too low" if all(group.is_exhausted for group in missing) else None

    def _round(self) -> None:
        config, before = self.config, self.asking.requests.total()
        sizes = (config.head_seeds, config.head_made)
        heads = next_heads(self.groups, self._number, config.heads, sizes, self._seed)
        made = self._tasks(heads)
        new = self._unlike(self._lawful(made))
        for one in new:
            one.head.group.waiting.append(one)
        kept_before = {group.name: group.kept for group in self.groups}
        taken = [one for group in self.groups for one in group.take()]
        self._examples(self._classified(taken))
        at_work = {one.head.group.name for one in taken} | {head.group.name for head in heads}
        for group in self.groups:
            if group.name not in at_work:
                continue
            n = sum(one.head.group is group for one in made)
            kept = group.kept - kept_before[group.name]
            group.note(n, kept, config.min_accept_ratio, config.patience)
        kept = sum(group.kept for group in self.groups) - sum(kept_before.values())
        self.facts.append(
            {
                "round": self._number, "heads": len(heads), "tasks": len(made), "new": len(new),
                "kept": kept, "accept_ratio": round(kept / len(made), 4) if made else 0.0,
                "requests": self.asking.requests.total() - before,
            }
        )  # fmt: skip

    def _tasks(self, heads: Iterable[Head]) -> list[Candidate]:
        """Ask for new tasks and read them."""
        wanted = []
        for head in heads:
            texts = [" ".join(task.text.split()) for task in head.tasks]
            first, last = len(texts) + 1, len(texts) + self.config.new_per_head
            template = self._prompts["instructions", head.group.language]
            messages = template.messages(tasks=texts, first=first, last=last)
            sampling = self.config.sampling()
            wanted.append(
                want(head.id, 0, messages, sampling, self._seed, stage="tasks", about=head)
            )
        found: list[tuple[str, Head]] = []
        for one, answer, error, retry in self.asking.ask(wanted, "tasks"):
            text = answer.text if answer else None
            is_cut = answer is not None and answer.finish_reason == "length"
            read = instructions_in(text, is_cut=is_cut) if text is not None else []
            found += [(task, one.about) for task in read]
            if not read:
                why = error or ("no whole task before the cut" if is_cut else "no task in a list")
                self._lose(one.about, why, "tasks", text, retry=retry if answer is None else None)
        begins = openings_of([text for text, _ in found])
        return [
            Candidate(text, opening, head)
            for (text, head), opening in zip(found, begins, strict=True)
        ]

    def _lawful(self, made: Sequence[Candidate]) -> list[Candidate]:
        """Those that break no rule of the paper and are in the language that was asked."""
        config, kept = self.config, []
        texts = [one.text for one in made]
        least, most = config.min_instruction_tokens, config.max_instruction_tokens
        faults = faults_of(texts, least, most, config.banned)
        rows = pl.DataFrame({"text": pl.Series(texts, dtype=pl.String)})
        languages = rows.select("text", asked_in("auto", ["text"]))["language"]
        for one, fault, language in zip(made, faults, languages, strict=True):
            if fault is None and language != one.head.group.language:
                fault = "other language"  # noqa: PLW2901 -- the last of the rules
            if fault is None:
                kept.append(one)
            else:
                self._lose(one.head, fault, "tasks", one.text)
        return kept

    def _unlike(self, made: Sequence[Candidate]) -> list[Candidate]:
        """Those that are new, and whose beginning has room."""
        kept = []
        most = max(1, int(self.config.max_opening_ratio * self.config.target))
        verdicts = self._new.judge([one.text for one in made])
        self._known += [one.text for one, near in zip(made, verdicts, strict=True) if near is None]
        for one, near in zip(made, verdicts, strict=True):
            if near is not None:
                nearest = self._known[near.place]
                self._lose(one.head, f"not new: {near.score:.2f}", "tasks", one.text, nearest)
            elif self.openings[one.opening] >= most:
                self._lose(one.head, f"too many begin like it: {one.opening}", "tasks", one.text)
            else:
                self.openings[one.opening] += 1
                kept.append(one)
        return kept

    def _classified(self, made: Sequence[Candidate]) -> list[Candidate]:
        """Those of a type that has room, with it."""
        held = _HELD if self.asking.has_choice else {}
        wanted = [
            want(
                one.id, 0, self._prompt("kind", one, instruction=one.text),
                held.get(one.head.group.language, _KIND), self._seed, stage="kind", about=one,
            )
            for one in made
        ]  # fmt: skip
        kept, types = [], Counter(self.types)
        for asked, answer, error, retry in self.asking.ask(wanted, "kind"):
            one: Candidate = asked.about
            if answer is None:
                self._lose(one.head, error, "kind", one.text, retry=retry)
                continue
            # As in the paper, what is not said to be a classification is none.
            classifies = is_classification(str(answer.text)) or False
            kind = type_of(one.text, classifies=classifies)
            if self._is_full(kind, types):
                self._lose(one.head, f"enough of its type: {kind}", "kind", one.text)
            else:
                types[kind] += 1
                kept.append(Candidate(one.text, one.opening, one.head, kind))
        return kept

    def _examples(self, made: Sequence[Candidate]) -> None:
        """Ask for the examples of tasks, and keep those that are good and agree."""
        wanted = []
        for one in made:
            name = "output_first" if one.type == "classification" else "input_first"
            messages = self._prompt(name, one, instruction=one.text, count=self.config.instances)
            sampling = self.config.sampling()
            wanted.append(
                want(one.id, 0, messages, sampling, self._seed, stage="example", about=one)
            )
        good: list[Example] = []
        for asked, answer, error, retry in self.asking.ask(wanted, "example"):
            task: Candidate = asked.about
            if answer is None:
                self._lose(task.head, error, "example", task.text, retry=retry)
                continue
            good += [Example(task, asked, answer, *found) for found in self._read(task, answer)]
        verdicts = agreements(good, self.config, self.asking, self._seed)
        for example, agreement in zip(good, verdicts, strict=True):
            task = example.task
            if isinstance(agreement, Disagreement):
                self._lose(
                    task.head, agreement.error, "agreement", task.text, retry=agreement.retry
                )
            elif task.head.group.kept >= task.head.group.wanted:
                self._lose(task.head, REACHED, "example", task.text)
            elif self._is_full(str(task.type), self.types):
                self._lose(task.head, f"enough of its type: {task.type}", "example", task.text)
            else:
                self._keep(example, agreement)

    def _read(self, task: Candidate, answer: Answer) -> list[tuple[int, Instance]]:
        """The good examples of an answer, with their places in it."""
        is_cut = answer.finish_reason == "length"
        first = task.type == "classification"
        found, error = instances_in(str(answer.text), label_first=first, is_cut=is_cut)
        if error:
            self._lose(task.head, f"no example: {error}", "example", task.text)
        faults = instance_faults(task.text, found)
        kept: list[tuple[int, Instance]] = []
        for k, (one, fault) in enumerate(zip(found, faults, strict=True)):
            if fault is None and len(kept) >= self.config.instances:
                fault = "more examples than asked"  # noqa: PLW2901 -- the last of the rules
            if fault is None:
                kept.append((k, one))
            else:
                self._lose(task.head, fault, "example", task.text)
        return kept

    def _keep(self, example: Example, agreement: float | None) -> None:
        task, found, head = example.task, example.found, example.task.head
        head.group.keep(task)
        self.types[str(task.type)] += 1
        name = "output_first" if task.type == "classification" else "input_first"
        template = self._prompts[name, head.group.language]
        self.rows.append(
            {
                "parent_ids": head.parents,
                "prompt": joined(task.text, found.input),
                "instruction": task.text,
                "input": found.input,
                "response": found.output,
                **drawn(example.asked, example.answer, self._model, "self_instruct"),
                "k": example.k,
                "type": task.type,
                "is_classification": task.type == "classification",
                "topic": head.group.topic,
                "language": head.group.language,
                "round": self._number,
                "head_made": head.made,
                "agreement": agreement,
                "prompt_name": template.name,
                "prompt_digest": template.digest,
            }
        )

    def _prompt(self, name: str, task: Candidate, **values: object) -> tuple[Message, ...]:
        return self._prompts[name, task.head.group.language].messages(**values)

    def _is_full(self, kind: str, types: Mapping[str, int]) -> bool:
        share = self.config.types.get(kind)
        return share is not None and types[kind] >= int(share * self.config.target + 1e-9)

    def _lose(
        self,
        head: Head,
        error: str,
        stage: str,
        text: str | None,
        nearest: str | None = None,
        *,
        retry: bool | None = None,
    ) -> None:
        """Note what became no row; `retry` is None where it was judged, not left unanswered."""
        self.turned_away += retry is None or error == BUDGET
        self.lost.append(Lost(head.parents, error, bool(retry), stage, self._number, text, nearest))
