"""The child process that owns vLLM's engine; started and fed by `databuild.models.vllm`.

It speaks JSON lines (databuild/engine/child.py). From the parent: first the options, then any of
`{"ask": {...}}`, `{"abort": true}`, `{"load": folder}`, `{"adapt": folder or null}`,
`{"sleep": true}`, `{"exit": true}`. To the parent: `{"ready": {...}}` once, `{"answer": {...}}` the
moment that a request ends, `{"aborted": true}`, `{"loaded": folder}`, `{"slept": true}`, or
`{"fatal": "..."}` and the end.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

from databuild.engine.child import Channel, Json, connect

if TYPE_CHECKING:
    from vllm import LLM, RequestOutput, SamplingParams
    from vllm.lora.request import LoRARequest
    from vllm.sampling_params import StructuredOutputsParams


WATCH_S = 0.5
"""How often the engine's processes are looked at."""
SPIN_S = 0.002
"""How long they go on looking for a message before they sleep; see `sleep_while_waiting`."""


class Server:
    """vLLM's engine and the requests that are in it."""

    def __init__(self, parent: Channel, llm: LLM, *, seed_bits: int, may_sleep: bool) -> None:
        self.parent, self.llm, self.engine = parent, llm, llm.llm_engine
        self.tokenizer = llm.get_tokenizer()
        self.max_model_len = int(self.engine.model_config.max_model_len)
        self.seed_bits, self.may_sleep, self.is_asleep = seed_bits, may_sleep, False
        self.in_flight: dict[str, int] = {}
        self.rendered: tuple[list[Json], list[int]] | None = None
        self.adapter: LoRARequest | None = None
        self.n_adapters = 0

    def run(self) -> None:
        """Serve until told to exit: take in all that has come, then let the engine step."""
        while True:
            message = self.parent.receive(None if not self.in_flight else 0.0)
            if message is None:
                self.step()
            elif "ask" in message:
                self.ask(message["ask"])
            elif "abort" in message:
                self.abort()
                self.parent.send({"aborted": True})
            elif "load" in message:
                self.load(str(message["load"]))
                self.parent.send({"loaded": message["load"]})
            elif "adapt" in message:
                self.adapt(message["adapt"])
                self.parent.send({"loaded": message["adapt"]})
            elif "sleep" in message:
                self.sleep()
                self.parent.send({"slept": True})
            elif "exit" in message:
                return

    def ask(self, request: Json) -> None:
        """Give one request to the engine, or answer at once that it cannot be."""
        from jinja2 import TemplateError

        self.wake()
        name, n_tokens = str(request["id"]), 0
        try:
            tokens = self.tokens(request["messages"])
            n_tokens = len(tokens)
            if n_tokens < self.max_model_len:
                prompt = {"prompt_token_ids": tokens}
                self.engine.add_request(
                    name, prompt, self.sampling(request), lora_request=self.adapter
                )
                self.in_flight[name] = n_tokens
                return
            trouble = f"the prompt has {n_tokens} tokens, the context {self.max_model_len}"
        except (ValueError, TypeError, TemplateError) as error:
            trouble = str(error)
        self.answer(name, text=None, finish="refused", n_prompt=n_tokens, error=trouble)

    def tokens(self, messages: list[Json]) -> list[int]:
        """The conversation in the chat template's form; that of the last one is kept for its k."""
        if self.rendered is None or self.rendered[0] != messages:
            text = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
            tokens = self.tokenizer(text, add_special_tokens=False)["input_ids"]
            self.rendered = (messages, tokens)
        return self.rendered[1]

    def sampling(self, request: Json) -> SamplingParams:
        """Translate the request's sampling; a greedy one needs no random stream."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        wanted = request["sampling"]
        is_greedy = wanted["temperature"] == 0
        return SamplingParams(
            temperature=wanted["temperature"],
            top_p=1.0 if is_greedy else wanted["top_p"],
            max_tokens=wanted["max_tokens"],
            stop=list(wanted["stop"]) or None,
            top_k=0 if is_greedy else wanted["top_k"],
            min_p=0.0 if is_greedy else wanted["min_p"],
            presence_penalty=wanted["presence_penalty"],
            frequency_penalty=wanted["frequency_penalty"],
            repetition_penalty=wanted["repetition_penalty"],
            logprobs=0 if wanted["logprobs"] else None,
            structured_outputs=self.form(wanted),
            seed=None if is_greedy else fold_seed(int(request["seed"]), self.seed_bits),
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def form(self, wanted: Json) -> StructuredOutputsParams | None:
        """The form that the answer is held to by guided decoding."""
        from vllm.sampling_params import StructuredOutputsParams

        if wanted["json_schema"] is not None:
            return StructuredOutputsParams(json=wanted["json_schema"])
        if wanted["regex"] is not None:
            return StructuredOutputsParams(regex=wanted["regex"])
        return StructuredOutputsParams(choice=wanted["choice"]) if wanted["choice"] else None

    def step(self) -> None:
        """Advance every request by one token and send what is finished."""
        output: RequestOutput
        for output in self.engine.step():
            if not output.finished:
                continue
            n_prompt = self.in_flight.pop(output.request_id, 0)
            made = output.outputs[0]
            n_made = len(made.token_ids)
            if made.finish_reason in {"stop", "length"}:
                finish = made.finish_reason
                self.answer(
                    output.request_id, text=made.text, finish=finish, n_prompt=n_prompt, n=n_made,
                    logprob=made.cumulative_logprob,
                )  # fmt: skip
            else:
                error = f"vLLM ended the request: {made.finish_reason}"
                self.answer(
                    output.request_id, text=None, finish="error", n_prompt=n_prompt, error=error
                )

    def answer(
        self,
        name: str,
        *,
        text: str | None,
        finish: str,
        n_prompt: int,
        n: int = 0,
        error: str | None = None,
        logprob: float | None = None,
    ) -> None:
        """Send one answer, in the fields of `databuild.models.protocol.Answer`."""
        fields: dict[str, Any] = {"id": name, "text": text, "finish_reason": finish}
        counts = {"prompt_tokens": n_prompt, "completion_tokens": n}
        self.parent.send({"answer": {**fields, **counts, "error": error, "logprob": logprob}})

    def abort(self) -> None:
        """Drop every request; what the engine still says about them is not passed on."""
        self.engine.abort_request(list(self.in_flight))
        self.in_flight.clear()
        while self.engine.has_unfinished_requests():
            self.engine.step()

    def load(self, folder: str) -> None:
        """Take the weights of another folder of the same architecture."""
        self.wake()
        self.llm.collective_rpc("reload_weights", kwargs={"weights_path": folder})
        self.llm.reset_prefix_cache()

    def adapt(self, folder: str | None) -> None:
        """Answer through an adapter from now on, or with the base alone."""
        from vllm.lora.request import LoRARequest

        self.adapter = None
        if folder is not None:
            self.n_adapters += 1  # an adapter's number stands for its weights in vLLM's caches
            self.adapter = LoRARequest(f"adapter-{self.n_adapters}", self.n_adapters, folder)

    def sleep(self) -> None:
        """Give the accelerator's memory back (on a CPU there is nothing to give back)."""
        if self.may_sleep and not self.is_asleep:
            self.llm.sleep(level=1)
            self.is_asleep = True

    def wake(self) -> None:
        """Be ready for requests again."""
        if self.is_asleep:
            self.llm.wake_up()
            self.is_asleep = False


def watch_engine(parent: Channel) -> None:
    """Tell the parent when one of vLLM's processes dies; its own client waits for ever."""
    import psutil

    engine = [
        (process, process.name())
        for process in psutil.Process().children(recursive=True)
        if "resource_tracker" not in " ".join(process.cmdline())
    ]

    def watch() -> None:
        while True:
            for process, name in engine:
                if not process.is_running() or _is_zombie(process):
                    parent.send({"fatal": f"vLLM's process {name} ({process.pid}) died"})
                    return
            time.sleep(WATCH_S)

    threading.Thread(target=watch, name="engine watch", daemon=True).start()


def _is_zombie(process: Any) -> bool:
    import psutil

    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def sleep_while_waiting() -> None:
    """Let vLLM's processes sleep while they wait for each other.

    Of itself each goes round a loop for up to a second after every message. Where the engine has
    no core of its own, as on a small CPU, that loop takes half a core from the worker it waits for.
    """
    from functools import partialmethod

    from vllm.distributed.device_communicators.shm_broadcast import SpinCondition

    quiet = partialmethod(SpinCondition.__init__, busy_loop_s=SPIN_S)
    SpinCondition.__init__ = quiet


def fold_seed(seed: int, bits: int) -> int:
    """Fold all of a seed's bits into the `bits` that the engine's stream depends on.

    Xxh3-64 of the seed's decimal digits, its top bit cleared (vLLM takes signed 64-bit seeds),
    reduced to `bits`.
    """
    import xxhash

    return xxhash.xxh3_64_intdigest(str(seed).encode()) & ((1 << min(bits, 63)) - 1)


def start(parent: Channel, options: Json) -> Server:
    """Load the model; `options` are vLLM's own arguments plus four of ours."""
    may_sleep, seed_bits = bool(options.pop("may_sleep")), int(options.pop("seed_bits"))
    adapter = options.pop("adapter", None)
    from vllm import LLM

    llm = LLM(**options, enable_sleep_mode=may_sleep, disable_log_stats=True)
    server = Server(parent, llm, seed_bits=seed_bits, may_sleep=may_sleep)
    if not getattr(server.tokenizer, "chat_template", None):
        what = f"the tokenizer of {options['model']} has no chat template"
        raise ValueError(what)
    server.adapt(adapter)
    return server


def main() -> None:
    """Connect, load, serve; an exception becomes the parent's error and the end of this process."""
    parent = connect()
    options = parent.receive() or {}
    try:
        server = start(parent, options)
        watch_engine(parent)
        parent.send({"ready": {"max_model_len": server.max_model_len, "pid": os.getpid()}})
        server.run()
    except Exception as error:  # noqa: BLE001 -- the boundary of a process
        traceback.print_exc()
        sys.stderr.flush()
        parent.send({"fatal": f"{type(error).__name__}: {error}"})
        sys.exit(1)


if __name__ == "__main__":
    main()
elif __name__ == "__mp_main__" and os.environ.get("DATABUILD_VLLM_SLEEPS") == "1":
    sleep_while_waiting()  # here the processes come by that vLLM spawns
