"""vLLM as the engine, in one child process that serves every round.

**Random streams, the rule.** vLLM's own default seed is 0 in every process, so two workers, or a
process and its restart, would draw the same answers. Here the engine's seed is never drawn from:

1. Every sampled request carries its own seed, on a CPU as on a GPU: `Request.seed` (derived from
   the data seed, the step, the row and k), all of whose bits are folded by xxh3 into those that the
   device's generator reads: 63 on a GPU (Philox), 32 on a CPU, whose Mersenne Twister in PyTorch
   ignores the others (seeds 1 and 1 + 2**32 give one stream). Two requests with different seeds
   share a stream with a probability of 2**-32 on a CPU; k = 1, 2, two workers and a restarted
   process never do otherwise, and a retried request draws what it would have drawn.
2. vLLM's CPU engine dies when a request with a seed of its own has its prefill cut into chunks
   (`CPU Generator does not use offset`), so on a CPU chunked prefill is off and a step's token
   budget is never below the context.
3. A greedy request (temperature 0) carries no seed: there is no stream.

The same seed in another batch may still give another text: sums round differently with the batch's
shape. What is promised is that finished answers are kept, not that they can be drawn again.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from databuild.engine.child import Child, Json
from databuild.errors import ServiceError
from databuild.models.fitting import adapter_in, check_fit, is_same_engine
from databuild.models.protocol import Answer, Request, each_once
from databuild.models.vllm_arguments import (
    Dtype,
    choose_dtype,
    cpu_environment,
    engine_arguments,
    find_device,
    lora_arguments,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

QUIET = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "1",
}
"""No telemetry, no network: at run time nothing is fetched."""


class VllmOptions(BaseModel):
    """How the engine is built. Names are vLLM's, defaults are for small models on either device."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    model: Path
    """A Hugging Face folder: weights, config, tokenizer with chat template."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` is `cuda` where /dev or CUDA_VISIBLE_DEVICES shows a GPU."""
    dtype: Dtype = "auto"
    """`auto` is bfloat16 where the hardware multiplies it natively, float32 elsewhere."""
    max_model_len: int = Field(default=2048, ge=16)
    """Context: prompt and answer together, in tokens."""
    max_num_seqs: int | None = Field(default=None, ge=1)
    """Requests computed together; None is 128 on a CPU and 256 on a GPU."""
    enforce_eager: bool | None = None
    """Whether to skip torch.compile and CUDA graphs; None is true on a CPU."""
    block_size: int | None = Field(default=None, ge=1)
    """Tokens per cache block. Prompts share whole blocks only: None is 32 on a CPU (vLLM's 128
    there leaves short prompts unshared among their K answers) and vLLM's own on a GPU."""
    max_num_batched_tokens: int | None = Field(default=None, ge=1)
    """Token budget of a step; on a CPU never less than the context (see the module)."""
    gpu_memory_utilization: float = Field(default=0.85, gt=0, le=1)
    """Share of the GPU's memory to take."""
    tensor_parallel_size: int = Field(default=1, ge=1)
    """GPUs (or, on a CPU, NUMA nodes) that share one model."""
    pipeline_parallel_size: int = Field(default=1, ge=1)
    """Groups of GPUs that each hold some of the layers."""
    data_parallel_size: int = Field(default=1, ge=1)
    """Processes with a copy of the model each, on GPUs (or, on a CPU, cores) of their own."""
    quantization: str | None = None
    """How to quantise the weights on loading (`fp8`, `bitsandbytes` ...); a model that is stored
    quantised says so itself. Part of the model's identity."""
    trust_remote_code: bool = False
    """Whether to run Python code that lies in the model's folder. Say yes to your own only."""
    kv_cache_gib: int = Field(default=4, ge=1)
    """Memory for the cache on a CPU."""


class VllmGenerator:
    """Answer requests with vLLM in a child process that starts at the first request.

    Answers come as they finish. The process stays for the next stream until `close`; between uses
    it waits without work (`sleep` gives a GPU's memory back), and it dies with this process,
    however that ends.

    Args:
        options: See `VllmOptions`.
        log: Receives the child's output.
        where: The step that the errors name; may be set anew between streams.
        env: Environment variables of the process, over all others.
    """

    def __init__(
        self,
        options: VllmOptions,
        *,
        log: Path,
        where: str = "vllm",
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.options, self.model, self.log, self.where = options, options.model, Path(log), where
        self._env = dict(env or {})
        self._child: Child | None = None
        self._is_open = self._is_loading = False
        self._base: Path = options.model
        self._rank = 0

    def can_load(self, model: Path) -> bool:
        """Whether `load` can take a folder: the engine's kind of model, or an adapter on its own.

        An engine that was started for an adapter takes others of the same base and of no higher
        rank, and the base itself; one that was not takes whole models of its architecture, with its
        tokenizer.
        """
        if self._child is None:
            return True
        adapter = adapter_in(model)
        if adapter is not None:
            return adapter.base == self._base and adapter.rank <= self._rank
        if self._rank:
            return model.resolve() == self._base
        return is_same_engine(self._base, model)

    def is_alive(self) -> bool:
        """Whether the process runs, or is yet to be started."""
        return self._child is None or self._child.is_alive

    def start(self) -> None:
        """Start the process now rather than at the first request; nothing if it runs.

        Raises:
            ServiceError: The engine cannot be started.
        """
        self.begin()
        if not self._is_loading:
            return
        try:
            self._await("ready")
        except BaseException:
            self.close()
            raise
        self._is_loading = False

    def begin(self) -> None:
        """Start the process, and do not wait until it has loaded; nothing if it runs.

        Raises:
            ServiceError: The engine cannot be started.
        """
        if self._child is not None:
            return
        device = find_device(self.options.device)
        adapter = adapter_in(self.model)
        base = adapter.base if adapter else self.model
        dtype = choose_dtype(self.options.dtype, device)
        check_fit(base, self.options, device, dtype, self.where)
        env = {**QUIET, **(cpu_environment(self.options) if device == "cpu" else {})}
        env.setdefault("VLLM_LOGGING_LEVEL", os.environ.get("VLLM_LOGGING_LEVEL", "WARNING"))
        env |= self._env
        child = Child("databuild.models.vllm_child", where=self.where, log=self.log, env=env)
        self._child, self._is_loading = child, True
        self._base, self._rank = base, adapter.rank if adapter else 0
        self._send(engine_arguments(base, self.options, device) | lora_arguments(adapter))

    def stream(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Yield one answer per request, as each finishes.

        Raises:
            ServiceError: The engine cannot be started or died, or another stream is still open.
            StepError: A request id came twice.
        """
        source = each_once(requests)
        in_flight, limit = 0, 2 * (self.options.max_num_seqs or 256)
        self._take("answer while another stream is open")
        try:
            while True:
                while in_flight < limit and (request := next(source, None)) is not None:
                    self.start()
                    self.ask(request)
                    in_flight += 1
                if not in_flight:
                    return
                answer = self.answer()
                assert answer is not None  # without a time limit there is one
                in_flight -= 1
                yield answer
        finally:
            if in_flight:
                self.abort()
            self._is_open = False

    def ask(self, request: Request) -> None:
        """Hand one request to the started process.

        Raises:
            ServiceError: The engine died.
        """
        self._send({"ask": _as_json(request)})

    def answer(self, timeout_s: float | None = None) -> Answer | None:
        """The next answer; None when `timeout_s` passes without one.

        Raises:
            ServiceError: The engine died.
        """
        fields = self._await("answer", timeout_s=timeout_s)
        return None if fields is None else Answer(**fields)

    def abort(self) -> None:
        """Drop what is in flight; nothing if the process has ended."""
        if self._child is not None:
            self._send({"abort": True})
            self._await("aborted", skip="answer")

    def fileno(self) -> int:
        """What `select` waits on for the process's messages, and its end."""
        assert self._child is not None
        return self._child.fileno()

    def load(self, model: Path) -> None:
        """Answer with the weights of another folder from now on.

        The architecture, the tokenizer and its chat template must be those of the first model. A
        running engine takes the weights in about a second; one that has not started will start
        with them. An adapter is swapped without touching the base's weights.

        Raises:
            ServiceError: The engine died, the weights do not fit, or a stream is open.
        """
        adapter = adapter_in(model)
        if adapter is None and not (Path(model) / "config.json").is_file():
            what = f"{model} is no model folder (it has no config.json)"
            raise ServiceError(self.where, what, fix="name a Hugging Face model folder")
        if not self.can_load(model):
            what = f"the running engine cannot take {model}: it stands on another base"
            raise ServiceError(self.where, what, fix="close it and start one for this model")
        self._take("load weights while a stream is open")
        try:
            if self._child is not None and self._rank:
                self._send({"adapt": str(Path(model).resolve()) if adapter else None})
                self._await("loaded")
            elif self._child is not None:
                self._send({"load": str(Path(model).resolve())})
                self._await("loaded")
            self.model = Path(model)
        finally:
            self._is_open = False

    def sleep(self) -> None:
        """Give the GPU's memory back until the next request; a CPU's idling costs nothing.

        Raises:
            ServiceError: The engine died or a stream is open.
        """
        self._take("sleep while a stream is open")
        try:
            if self._child is not None:
                self._send({"sleep": True})
                self._await("slept")
        finally:
            self._is_open = False

    def close(self) -> None:
        """Let the engine end in good order, 5 s at most, then kill what is left of it."""
        child, self._child = self._child, None
        if child is None:
            return
        try:
            if child.is_alive:
                child.send({"exit": True})
                child.close(grace_s=5.0)
        except ServiceError:
            pass  # it died on its own in this moment, which is what was wanted
        finally:
            child.close()

    def _take(self, what: str) -> None:
        if self._is_open:
            fix = "exhaust or close the first stream"
            raise ServiceError(self.where, f"vLLM cannot {what}", fix=fix)
        self._is_open = True

    def _send(self, message: Json) -> None:
        assert self._child is not None
        self._child.where = self.where
        try:
            self._child.send(message)
        except ServiceError:
            self.close()
            raise

    def _await(self, kind: str, skip: str | None = None, timeout_s: float | None = None) -> Any:
        assert self._child is not None
        while True:
            try:
                message = self._child.receive(timeout_s)
            except ServiceError:
                self.close()
                raise
            if message is None or kind in message:
                return message and message[kind]
            if skip not in message:
                what = f"vLLM's process said {sorted(message)} when {kind!r} was due"
                raise ServiceError(self.where, what, fix="report this as a fault of databuild")


def _as_json(request: Request) -> Json:
    return {
        "id": request.id,
        "messages": [asdict(message) for message in request.messages],
        "sampling": request.sampling.model_dump(mode="json"),
        "seed": request.seed,
    }
