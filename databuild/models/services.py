"""The models of a run: started when first needed, one process at a time, stopped at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from databuild.engine.journal import Journal
from databuild.engine.store import ModelTarget
from databuild.errors import RecipeError
from databuild.models.embedder import (
    HASHED,
    HASHED_IDENTITY,
    Embedder,
    HashedNgrams,
    open_embedder,
)
from databuild.models.endpoint import EndpointGenerator, EndpointOptions
from databuild.models.fake import FakeGenerator, FakeOptions
from databuild.models.fake_training import fake_options_of, read_as_fake, save_fake
from databuild.models.fitting import adapter_in
from databuild.models.identity import adapter_identity, folder_identity
from databuild.models.journalled import Journalled
from databuild.models.packaged import packaged_folder, packaged_identity
from databuild.models.scorer import FakeScorer, Scorer, Scoring
from databuild.models.scorer_process import RewardModel
from databuild.schema.identity import digest_text

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from databuild.engine.ledger import Meter
    from databuild.engine.resources import Ask, Progress
    from databuild.models.protocol import Answer, Draws, Generator, Request
    from databuild.models.vllm import VllmGenerator
    from databuild.models.vllm_pool import VllmPool
    from databuild.recipe.model import ModelSpec

# What changes a model's answers beside its weights, so that it belongs to its identity.
_BEARS_IDENTITY = ("dtype", "quantization")
Options = TypeVar("Options", bound=BaseModel)
Recalled = Callable[[Sequence["Request"]], "dict[str, Answer]"]
Reader = Callable[[Sequence[str | tuple[str, str]]], list[dict[str, Any]]]


class LocalServices:
    """Models on this machine, and endpoints elsewhere.

    Args:
        runs: The runs folder: converted models and journals lie in it.
        device: `cpu` or `cuda`. On `cuda` the generator is stopped before anything else needs the
        GPU.
    """

    def __init__(self, runs: Path, device: str) -> None:
        self._runs = runs
        self._device = device
        self._vllm: tuple[dict[str, Any], Path, VllmGenerator | VllmPool] | None = None
        self._journals: dict[str, Journal] = {}
        self._others: dict[str, Generator] = {}
        self._embedders: dict[str, Embedder] = {}
        self._scorers: dict[str, Scorer] = {}

    def identify(self, spec: ModelSpec, folder: Path) -> ModelTarget:
        """Say which model a recipe's model is, without loading it.

        Raises:
            RecipeError: The folder or package is missing, or an option is wrong.
        """
        options = spec.options
        if spec.fake is not None:
            fake = _options(FakeOptions, spec.fake)
            identity = f"fake@{digest_text(fake.model_dump_json(exclude_defaults=True))[:16]}"
            options = fake.model_dump()
            return ModelTarget(identity=identity, kind="fake", options=options, prices=spec.prices)
        if spec.endpoint is not None:
            _options(EndpointOptions, {"url": spec.endpoint, **options})
            return ModelTarget(
                identity=str(spec.identity),
                kind="endpoint",
                location=spec.endpoint,
                options=options,
                prices=spec.prices,
            )
        if spec.packaged == HASHED:
            return ModelTarget(identity=HASHED_IDENTITY, kind="packaged", location=HASHED)
        if spec.packaged is not None:
            identity = packaged_identity(spec.packaged) + _variant(options)
            return ModelTarget(
                identity=identity, kind="packaged", location=spec.packaged, options=options,
                prices=spec.prices,
            )  # fmt: skip
        path = (folder / str(spec.path)).resolve()
        adapter = adapter_in(path)
        if adapter is None:
            identity = folder_identity(path) + _variant(options)
        else:
            identity = (
                f"{folder_identity(adapter.base)}{_variant(options)}+{adapter_identity(path)}"
            )
        return ModelTarget(
            identity=identity, kind="folder", location=str(path), options=options,
            prices=spec.prices,
        )  # fmt: skip

    def provide(self, ask: Ask) -> Any:
        """Return the resource that a step asks for; None where its options name no model."""
        if ask.resource == "generators":
            return {name: self._generator(ask, target) for name, target in ask.targets.items()}
        target = ask.targets.get("scorer" if ask.resource == "rewards" else "model")
        if target is None:
            return None
        made: dict[str, Callable[[Ask, ModelTarget], Any]] = {
            "generator": self._generator,
            "reader": self._reader,
            "embedder": self._embedder,
            "scorer": self._scoring,
            "rewards": self._scoring,
        }
        if ask.resource in made:
            return made[ask.resource](ask, target)
        if self._device == "cuda":
            self._stop_vllm()
            self._stop_scorers()
        return self._whole(target, ask.step)

    def folder(self, target: ModelTarget, where: str) -> Path:
        """The folder of a model, made first where it comes in another form.

        Raises:
            RecipeError: The model is somebody else's endpoint and has no folder here.
        """
        if target.kind == "folder":
            return self._runs / target.location
        home = self._runs / "models" / target.identity.replace("/", "_").replace(":", "_")
        if target.location == HASHED:
            what = f"{HASHED} is no model: it has no folder, and can only embed"
            raise RecipeError(where, what, fix="use it in measure.embedding alone")
        if target.kind == "packaged":
            return packaged_folder(target.location, home, log=home.with_suffix(".log"))
        if target.kind == "fake":
            return save_fake(FakeOptions.model_validate(target.options), home)
        what = f"the model {target.identity!r} is an endpoint: it cannot be trained or read"
        raise RecipeError(where, what, fix="use a model that has a folder or a package")

    def _whole(self, target: ModelTarget, where: str) -> Path:
        folder = self.folder(target, where)
        if adapter_in(folder) is not None:
            what = f"{folder} is an adapter, which can be asked, but not trained or read with"
            raise RecipeError(where, what, fix="merge it into its base, and name that folder")
        return folder

    def close(self) -> None:
        """Stop every process and close every journal. Safe to call twice."""
        self._stop_vllm()
        self._stop_embedders()
        self._stop_scorers()
        for generator in self._others.values():
            generator.close()
        for journal in self._journals.values():
            journal.close()
        self._others, self._journals = {}, {}

    def _generator(self, ask: Ask, target: ModelTarget) -> Asking:
        log = ask.folder / "vllm.log"
        journal = self._journal(target.identity)

        def asked() -> Journalled:
            # Anew for every call: between two, another model may have taken the process.
            return Journalled(
                lambda: self._started(target, ask.step, log),
                journal,
                target.identity,
                meter=ask.meter,
            )

        return Asking(asked, journal, ask.progress, ask.meter, has_choice=_has_choice(target))

    def _journal(self, identity: str) -> Journal:
        if identity not in self._journals:
            start = identity.partition("@")[0].replace(":", "-")[:40]
            name = f"{start}-{digest_text(identity)[:12]}"
            self._journals[identity] = Journal(self._runs / "journals" / name)
        return self._journals[identity]

    def _started(self, target: ModelTarget, where: str, log: Path) -> Generator:
        if target.kind == "endpoint":
            options = EndpointOptions.model_validate({"url": target.location, **target.options})
            return self._other(target, lambda: EndpointGenerator(options, where=where))
        folder = self.folder(target, where)
        fake = fake_options_of(folder)
        if fake is not None:
            return self._other(target, lambda: FakeGenerator(fake, where=where))
        return self._vllm_with(folder, target.options, where, log)

    def _other(self, target: ModelTarget, start: Callable[[], Generator]) -> Generator:
        if target.identity not in self._others:
            self._others[target.identity] = start()
        return self._others[target.identity]

    def _vllm_with(
        self, folder: Path, options: Mapping[str, Any], where: str, log: Path
    ) -> VllmGenerator | VllmPool:
        """The one vLLM process: started once, given other weights when another model is asked."""
        from databuild.models.vllm import VllmGenerator, VllmOptions
        from databuild.models.vllm_pool import VllmPool

        wanted = dict(options)
        if self._vllm is not None:
            running, loaded, generator = self._vllm
            if running == wanted and generator.is_alive() and generator.can_load(folder):
                if loaded != folder:
                    generator.load(folder)
                    self._vllm = (wanted, folder, generator)
                return generator
            self._stop_vllm()
        self._stop_embedders()
        self._stop_scorers()
        made = _options(VllmOptions, {"model": folder, **wanted})
        engine = VllmPool if made.data_parallel_size > 1 else VllmGenerator
        started = engine(made, log=log, where=where)
        self._vllm = (wanted, folder, started)
        return started

    def _stop_vllm(self) -> None:
        if self._vllm is not None:
            self._vllm[2].close()
            self._vllm = None

    def _embedder(self, ask: Ask, target: ModelTarget) -> Embedder:
        """The embedder of a model, opened once: on a GPU no generator runs beside it."""
        if self._device == "cuda":
            self._stop_vllm()
        if target.identity not in self._embedders:
            is_fake = target.location == HASHED or target.kind == "fake"
            if is_fake:
                self._embedders[target.identity] = HashedNgrams()
            else:
                folder, log = self.folder(target, ask.step), ask.folder / "embedder.log"
                self._embedders[target.identity] = open_embedder(folder, log=log, where=ask.step)
        return self._embedders[target.identity]

    def _stop_embedders(self) -> None:
        for embedder in self._embedders.values():
            embedder.close()
        self._embedders = {}

    def _scoring(self, ask: Ask, target: ModelTarget) -> Scoring:
        """Rewards of a model, from its journal where it has them; opened at the first it has not.

        Raises:
            RecipeError: The model is an endpoint or an adapter: it has no rewards to read here.
        """
        if target.kind != "fake":
            self._whole(target, ask.step)

        def opened() -> Scorer:
            if target.identity not in self._scorers:
                self._scorers[target.identity] = self._opened_scorer(ask, target)
            return self._scorers[target.identity]

        journal = self._journal(target.identity)
        return Scoring(opened, journal, target.identity, ask.progress)

    def _opened_scorer(self, ask: Ask, target: ModelTarget) -> Scorer:
        folder = self._whole(target, ask.step)
        fake = fake_options_of(folder)
        if fake is not None:
            return FakeScorer(fake)
        self._stop_scorers()
        if self._device == "cuda":
            self._stop_vllm()
        return RewardModel(folder, log=ask.folder / "scorer.log", where=ask.step)

    def _stop_scorers(self) -> None:
        for scorer in self._scorers.values():
            scorer.close()
        self._scorers = {}

    def _reader(self, ask: Ask, target: ModelTarget) -> Reader:
        folder = self._whole(target, ask.step)
        fake = fake_options_of(folder)
        if fake is not None:
            return lambda texts: [read_as_fake(fake, text) for text in texts]
        if self._device == "cuda":
            self._stop_vllm()
        from databuild.models.perplexity import read_texts

        log = ask.folder / "perplexity.log"
        return lambda texts: read_texts(folder, texts, log=log, where=ask.step)


class Asking:
    """What a step asks its model through: requests in, answers by id out."""

    def __init__(
        self,
        asked: Callable[[], Journalled],
        journal: Journal,
        progress: Progress,
        meter: Meter,
        *,
        has_choice: bool = True,
    ) -> None:
        self._asked, self._journal, self._progress = asked, journal, progress
        self.meter = meter
        self.has_choice = has_choice
        """Whether the engine can hold an answer to one of several texts."""

    def __call__(self, requests: Sequence[Request]) -> dict[str, Answer]:
        """Ask for every request that the journal does not hold.

        Raises:
            ServiceError: The model cannot be started, or died.
            BudgetError: A budget is spent.
        """
        self._progress.total(len(requests), "answers")
        return self._answers(requests, 0)

    def recall(self, draws: Sequence[Draws]) -> tuple[pl.DataFrame, Recalled]:
        """What the journal holds of many draws, as columns, and how to ask for the rest of them.

        Returns:
            See `Journalled.recall`; and a function like this object itself, for the requests that
            are missing, which need not be looked for again.
        """
        self._progress.total(sum(len(one.seeds) for one in draws), "answers")
        known = self._asked().recall(draws)
        return known, lambda requests: self._answers(requests, known.height)

    def _answers(self, requests: Sequence[Request], n_known: int) -> dict[str, Answer]:
        """Ask, and tick; first for `n_known` that are known already."""
        answers = {}
        n_new = 0
        try:
            for one, cached in self._asked().marked(requests):
                answers[one.id] = one
                if cached:
                    n_known += 1
                    continue
                if not n_new and n_known:
                    self._progress.tick(n_known, "from the journal")
                    n_known = 0
                n_new += 1
                self._progress.tick(1)
            if n_known:
                self._progress.tick(n_known, "from the journal")
        finally:
            if n_new:
                self._journal.flush()
        return answers


def _has_choice(target: ModelTarget) -> bool:
    """Whether a model can be held to choices: all can, but endpoints that speak plain OpenAI."""
    if target.kind != "endpoint":
        return True
    given = {"url": target.location, **target.options}
    return EndpointOptions.model_validate(given).dialect == "vllm"


def _variant(options: Mapping[str, Any]) -> str:
    """What to add to an identity for options that change the answers; nothing for the defaults."""
    given = [f"{name}={options[name]}" for name in _BEARS_IDENTITY if name in options]
    return "".join(f"+{one}" for one in given)


def _options(model: type[Options], given: Mapping[str, Any]) -> Options:
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = ".".join(map(str, first["loc"]))
        what = f"model option {option!r}: {first['msg']}, given {first['input']!r}"
        raise RecipeError("models", what, fix="correct the model's options") from error
