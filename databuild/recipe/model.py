"""A recipe as frozen models: what was asked, before it is known whether it can be done."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from databuild.recipe.options import Names

NAME = r"^[A-Za-z][A-Za-z0-9_-]*$"
Name = Annotated[str, Field(pattern=NAME, max_length=60)]
_TAKEN = ("journals", "models")


class Strict(BaseModel):
    """Frozen, and unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Prices(Strict):
    """What a model's tokens cost, per million, in any one currency."""

    input: float = Field(ge=0)
    """A million tokens of prompts."""
    output: float = Field(ge=0)
    """A million tokens of answers."""


class Budget(Strict):
    """What asking models may cost: the run stops before the request that could exceed it.

    What was answered is kept, and the same command goes on once the budget is raised. No part of
    any key.
    """

    tokens: int | None = None
    """Tokens of prompts and answers together."""
    cost: float | None = None
    """In the currency of the models' `prices`; a local model without prices costs nothing."""
    seconds: float | None = None
    """Time spent waiting for answers; requests in flight are still finished."""

    @field_validator("tokens", "cost", "seconds")
    @classmethod
    def _buys_something(cls, value: float | None) -> float | None:
        if value is not None and not 0 < value < float("inf"):
            msg = f"a budget of {value:g} buys no answer: give a number above 0, or leave it out"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _limits_something(self) -> Budget:
        if self.tokens is None and self.cost is None and self.seconds is None:
            msg = "a budget has tokens, cost or seconds"
            raise ValueError(msg)
        return self


class ModelSpec(Strict):
    """Where it comes from: exactly one of `packaged`, `path`, `endpoint`, `released`, `fake`."""

    packaged: str | None = None
    """A model that an installed package carries: `smollm2-135m-instruct`."""
    path: str | None = None
    """A Hugging Face model folder, relative to the recipe."""
    endpoint: str | None = None
    """The base URL of an OpenAI-compatible server, up to and with `/v1`."""
    released: str | None = None
    """The best model that was trained on a version: `support-bot@best`. It follows when `databuild
    rollback` moves that name."""
    store: str = "releases"
    """With `released`: the folder of versions, relative to the recipe."""
    fake: dict[str, Any] | None = None
    """Options of the deterministic fake model, for trying a recipe without a model."""
    identity: str | None = None
    """What an endpoint serves (`name@revision`): part of every key, since a URL says nothing."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the generator: vLLM's engine arguments, or the endpoint's."""
    prices: Prices | None = None
    """What its tokens cost, per million; without it costs are unknown. No part of any key."""

    @model_validator(mode="after")
    def _one_origin(self) -> ModelSpec:
        origins = [
            o
            for o in ("packaged", "path", "endpoint", "released", "fake")
            if getattr(self, o) is not None
        ]
        if len(origins) != 1:
            known = "packaged, path, endpoint, released and fake"
            msg = f"a model has exactly one of {known}, not {origins}"
            raise ValueError(msg)
        if self.endpoint is not None and not self.identity:
            msg = "an endpoint needs `identity: name@revision`: its URL does not say what it serves"
            raise ValueError(msg)
        return self


def _model(value: object) -> object:
    return {"packaged": value} if isinstance(value, str) else value


class StepSpec(BaseModel):
    """One step as written: which, from what, and its options, not yet checked."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    use: str
    inputs: dict[str, str] | str = Field(default_factory=dict, alias="from")
    max_failure_ratio: float = Field(default=0.1, ge=0, le=1)
    """The step fails when more than this share of its requests failed."""
    budget: Budget | None = None
    """What this step may spend on asking models."""

    @property
    def options(self) -> dict[str, Any]:
        """Everything beside `use`, `from`, `max_failure_ratio` and `budget`."""
        return dict(self.model_extra or {})


class Gate(Strict):
    """When a candidate becomes the best model."""

    part: str
    """The part on which both are measured, `step.part`."""
    metric: str
    """A column of the exam's last step, a number or a truth value; its mean decides."""
    min_gain: float = Field(default=0.0, ge=0)
    """The candidate's mean must exceed the best model's by more than this."""
    sure: bool = False
    """The whole 95 % interval of the paired gain must exceed `min_gain`."""
    by: str | None = None
    """A column of kinds of prompts, such as `family` or `capability`."""
    max_loss: float | None = Field(default=None, ge=0)
    """In no kind of prompt may the metric's mean fall by more than this."""
    keep: dict[str, float] = Field(default_factory=dict)
    """Other columns of the exam, and by how much each one's mean may fall at most."""


class Final(Strict):
    """What is measured once, after the last round, on the first and on the best model."""

    parts: Names
    """The held-out parts, each `step.part`."""
    text: Names = ()
    """`evaluate.perplexity` steps with `model: ${exam.model}`: what ordinary text lost."""
    by: str | None = None
    """A column of kinds of prompts: each is compared alone, too."""


class Flywheel(Strict):
    """Rounds: which steps repeat, how a model is examined, and what lets it become the best."""

    rounds: int = Field(default=1, ge=1, le=50)
    best: str
    """The best model before the first round: a name under `models:`."""
    repeat: tuple[Name, ...] = Field(min_length=1)
    """The steps of one round. `model: best` in them is the best model before that round."""
    candidate: Name
    """The train step whose model is examined at the end of a round."""
    exam: tuple[Name, ...] = Field(min_length=1)
    """The steps that examine a model; they use `${exam.part}` and `${exam.model}`."""
    gate: Gate
    final: Final


class Encrypt(Strict):
    """What of a version only who has the key can read, and where the key is."""

    columns: Names = Field(min_length=1)
    """Columns, of whichever table has them; `all` encrypts whole files, lineage included."""
    key_env: str | None = None
    """The environment variable with the key: 32 bytes as base64 or hexadecimal text."""
    key_file: str | None = None
    """Or the file with it, relative to the recipe."""

    @model_validator(mode="after")
    def _has_one_key(self) -> Self:
        if (self.key_env is None) == (self.key_file is None):
            msg = "name the key once: `key_env` or `key_file`"
            raise ValueError(msg)
        return self


class Release(Strict):
    """What a version of the data set holds, and what is to be known of its sources."""

    configs: dict[Name, Annotated[dict[Name, str], Field(min_length=1)]] = Field(min_length=1)
    """Configurations, such as `sft` and `preference`: for each split a `step` or `step.part`. Of
    a step that repeats, the last round's."""
    licence: dict[str, str] = Field(default_factory=dict)
    """The licence of each source step, as an SPDX identifier; a source without one is unknown."""
    needs_licence: bool = False
    """Refuse to release while a source has no licence."""
    refuse_licences: tuple[str, ...] = ()
    """Refuse to release what these say: `share-alike`, `non-commercial`, `no-derivatives`,
    `attribution`, `unknown`, `conflict` (licences that contradict each other), or SPDX ids."""
    about: str = ""
    """What the data set is and what it is for, in a few sentences: the head of its card."""
    limits: tuple[str, ...] = ()
    """What one who uses it should know, beside what the card says by itself."""
    authors: tuple[str, ...] = ()
    """Who made it, for the citation."""
    encrypt: Encrypt | None = None
    """What of it is encrypted at rest."""


class Recipe(Strict):
    """A recipe: named steps, the models that they ask, and the rounds."""

    name: Name
    """Its folder below the runs folder has this name."""
    seed: int = Field(default=0, ge=0)
    """The data seed. Training has its own, an option of the train steps."""
    vars: dict[str, Any] = Field(default_factory=dict)
    """Values that stand for `${name}` anywhere below."""
    plugins: tuple[str, ...] = ()
    """Python files with steps of your own, relative to the recipe."""
    models: dict[Name, Annotated[ModelSpec, BeforeValidator(_model)]] = Field(default_factory=dict)
    steps: dict[Name, StepSpec] = Field(min_length=1)
    flywheel: Flywheel | None = None
    release: Release | None = None
    """What `databuild release` publishes as `name@version`."""
    budget: Budget | None = None
    """What all steps together may spend on asking models."""
    schema_version: Literal[1] = 1

    @field_validator("name")
    @classmethod
    def _is_free(cls, name: str) -> str:
        if name in _TAKEN:
            msg = f"the runs folder has a folder {name!r} of its own"
            raise ValueError(msg)
        return name
