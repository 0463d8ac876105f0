"""Rewards of trained models: what every scorer answers to, and the cache in front of it.

A talk is one scored conversation as JSON text: `{"turns": [{"role", "content", ...}, ...], "tools":
<JSON text or null>}`; its last turn is the answer. `Reading` says how a model reads it. The model
itself runs in a child process, see `databuild.models.scorer_process`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import xxhash

from databuild.errors import ServiceError
from databuild.models.fake_steps import worth

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from databuild.engine.resources import Progress
    from databuild.models.fake import FakeOptions
    from databuild.models.journalled import AnswerJournal

KEY_VERSION = 1
"""Raised when the same talk would get another reward from the same model."""
CHUNK = 1024
"""Talks that are sent together: so many are read again after a kill."""
_HEADS = ("ForSequenceClassification", "ForTokenClassification")


@dataclass(frozen=True)
class Reading:
    """How rewards are read; all but `batch_tokens` is part of what decides them.

    Attributes:
        max_length: Longest talk in tokens; of a longer one the beginning is cut off.
        label: Of a model with several labels the one whose log odds are the reward.
        steps: What separates the steps of an answer: a reward for each of them. None: one for all.
        step_mark: What the model expects behind every step; None: the separator itself.
        batch_tokens: Tokens that are read at once, padding included.
    """

    max_length: int = 1024
    label: int | None = None
    steps: str | None = None
    step_mark: str | None = None
    batch_tokens: int = 8192

    def decides(self) -> str:
        """All that a reward depends on, as text."""
        known = {name: value for name, value in asdict(self).items() if name != "batch_tokens"}
        return json.dumps(known, sort_keys=True)


class Reward(NamedTuple):
    """What a model said of one talk."""

    score: float | None
    """Finite, or None: with steps, or with an error."""
    n_tokens: int
    """Tokens that were read."""
    is_cut: bool
    """The talk was longer than `max_length`, or than the model reads."""
    steps: tuple[float, ...] | None = None
    """With `Reading.steps`: the probability, 0 to 1, that each step is good."""
    error: str | None = None


class Scorer(Protocol):
    """Gives rewards to talks."""

    def read(self, talks: Sequence[str], reading: Reading) -> list[Reward]:
        """One reward for each talk, in order; what a talk gets, no other talk changes."""

    def close(self) -> None:
        """Give back what it holds. Safe to call twice."""


class Scoring:
    """What a step scores through: equal talks once, known ones from the journal.

    A reward is in the journal before anybody sees it. Errors are not kept.

    Args:
        opened: Starts the scorer; called at the first talk that the journal does not have.
        journal: Keeps rewards by key; None keeps none.
        identity: Names the weights and what else decides the rewards.
        progress: Told of every chunk.
    """

    def __init__(
        self,
        opened: Callable[[], Scorer],
        journal: AnswerJournal | None,
        identity: str,
        progress: Progress | None = None,
    ) -> None:
        self._opened, self._journal = opened, journal
        self._identity, self._progress = identity, progress

    def total(self, n: int) -> None:
        """Say how many talks there will be in all."""
        if self._progress is not None:
            self._progress.total(n, "answers")

    def __call__(self, talks: Sequence[str], reading: Reading) -> list[Reward]:
        """One reward for each talk, in order.

        Raises:
            RecipeError: The model cannot give such rewards.
            ServiceError: The model cannot be loaded, or its process died.
        """
        start = xxhash.xxh3_128(repr((KEY_VERSION, self._identity, reading.decides())).encode())
        keys = [_key(start, talk) for talk in talks]
        found = dict(self._known(keys))
        self._tick(sum(key in found for key in keys), "from the journal")
        counts: dict[str, int] = {}
        wanted: dict[str, str] = {}
        for key, talk in zip(keys, talks, strict=True):
            if key not in found:
                counts[key] = counts.get(key, 0) + 1
                wanted.setdefault(key, talk)
        # By length, so that little is padding, and by key: chunks follow from the set alone.
        ordered = sorted(wanted, key=lambda key: (len(wanted[key]), key))
        for first in range(0, len(ordered), CHUNK):
            chunk = ordered[first : first + CHUNK]
            rewards = self._opened().read([wanted[key] for key in chunk], reading)
            for key, reward in zip(chunk, rewards, strict=True):
                found[key] = reward
                if self._journal is not None and reward.error is None:
                    self._journal.put(key, {"reward": list(reward[:4])})
            self._tick(sum(counts[key] for key in chunk), "")
        return [found[key] for key in keys]

    def _known(self, keys: Sequence[str]) -> list[tuple[str, Reward]]:
        if self._journal is None:
            return []
        asked = list(dict.fromkeys(keys))
        kept = zip(asked, self._journal.find(asked), strict=True)
        return [(key, _reward(held[0]["reward"])) for key, held in kept if held is not None]

    def _tick(self, n: int, note: str) -> None:
        if self._progress is not None and n:
            self._progress.tick(n, note)


def _key(start: Any, talk: str) -> str:
    own = start.copy()
    own.update(talk.encode("utf-8", "surrogatepass"))
    digest: str = own.hexdigest()
    return digest


def _reward(kept: Sequence[Any]) -> Reward:
    score, n_tokens, is_cut, steps = kept
    return Reward(score, n_tokens, is_cut, None if steps is None else tuple(steps))


class FakeScorer:
    """Rewards of the fake model, 0 to 1: the more skill, the more they follow the answer.

    skill * (share of the words of the turns before that the answer takes up) + (1 - skill) * noise,
    the noise drawn from the talk itself. Steps get the same, each by itself. Of a sum that is told
    in orders (see `models.fake_steps`) it is not words that count, but whether all steps are right,
    and those before.
    """

    def __init__(self, options: FakeOptions) -> None:
        self._options = options

    def read(self, talks: Sequence[str], reading: Reading) -> list[Reward]:
        """One reward for each talk."""
        return [self._one(talk, reading) for talk in talks]

    def close(self) -> None:
        """There is nothing to give back."""

    def _one(self, talk: str, reading: Reading) -> Reward:
        turns = json.loads(talk)["turns"]
        said = [str(turn.get("content") or "") for turn in turns]
        asked = " ".join(said[:-1])
        n_tokens = sum(len(text.split()) for text in said)
        cut, n_tokens = n_tokens > reading.max_length, min(n_tokens, reading.max_length)
        steps = steps_of(said[-1], reading.steps or "\n")
        if reading.steps is None:
            return Reward(self._score(asked, said[-1], steps), n_tokens, cut)
        scores = [self._score(asked, one, steps[: i + 1]) for i, one in enumerate(steps)]
        return Reward(None, n_tokens, cut, tuple(scores))

    def _score(self, asked: str, answer: str, steps: Sequence[str]) -> float:
        good = worth(asked, steps)
        if good is None:
            words = set(asked.lower().split())
            good = len(words & set(answer.lower().split())) / max(len(words), 1)
        drawn = xxhash.xxh3_64_intdigest(f"{self._options.seed}\0{asked}\0{answer}".encode())
        skill = self._options.skill_ratio
        return round(skill * good + (1 - skill) * drawn / 2**64, 6)


def steps_of(answer: str, separator: str) -> list[str]:
    r"""The steps of an answer: what stands between the separators and is not blank.

    Example:
        >>> steps_of("2 + 2 = 4\n\n4 * 3 = 12\n", "\n")
        ['2 + 2 = 4', '4 * 3 = 12']
    """
    return [step for step in answer.split(separator) if step.strip()]


def check_reward_folder(folder: Path, reading: Reading, *, where: str) -> str:
    """Refuse, before anything is loaded, a folder that cannot give such rewards.

    Returns:
        Its kind of head: `ForSequenceClassification` or `ForTokenClassification`.

    Raises:
        ServiceError: It is a language model, has several labels and none is chosen, or the like.
    """
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        what = f"{folder} is no model folder: config.json: {error}"
        raise ServiceError(where, what, fix="name a Hugging Face model folder") from error
    names = [str(name) for name in config.get("architectures") or ()]
    head = next((head for head in _HEADS if any(name.endswith(head) for name in names)), None)
    if head is None:
        what = (
            f"the model is a {', '.join(names) or 'model without a named head'}: it has no reward"
        )
        fix = "name a sequence-classification model, or train one with train.reward"
        raise ServiceError(where, what, fix=fix)
    if head == _HEADS[1] and reading.steps is None:
        what = f"the model is a {names[0]}: it judges tokens, not answers"
        raise ServiceError(where, what, fix='set `steps`, for example `steps: "\\n"`')
    labels = config.get("id2label") or {str(i): "" for i in range(config.get("num_labels", 2))}
    _check_label(labels, reading.label, where)
    return head


def _check_label(labels: dict[str, str], label: int | None, where: str) -> None:
    named = ", ".join(f"{number} ({name})" for number, name in sorted(labels.items()))
    if label is None and len(labels) > 1:
        what = f"the model has {len(labels)} labels and not one reward: {named}"
        raise ServiceError(where, what, fix="say with `label` whose log odds are the reward")
    if label is not None and (len(labels) == 1 or str(label) not in labels):
        what = f"the model has no label {label} to choose: {named}"
        raise ServiceError(where, what, fix="leave `label` out, or name one of these")
