"""Rewards of any sequence- or token-classification folder, read in a child process."""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from databuild.engine.child import Child, Json, connect
from databuild.errors import ServiceError
from databuild.models.scorer import Reading, Reward, check_reward_folder

if TYPE_CHECKING:
    from collections.abc import Sequence


class RewardModel:
    """A reward model in a child process, started with the first talks and stopped by `close`.

    Padding changes the last bits of a reward: rewards are the same to about 1e-5 (float32) in other
    company, not bit for bit.

    Args:
        folder: A Hugging Face folder with a sequence- or token-classification head.
        log: Receives the child's output.
        where: The step that the errors name.
    """

    def __init__(self, folder: Path, *, log: Path, where: str = "model") -> None:
        self._folder, self._log, self._where = folder, log, where
        self._child: Child | None = None

    def read(self, talks: Sequence[str], reading: Reading) -> list[Reward]:
        """One reward for each talk, in order.

        Raises:
            ServiceError: The folder gives no such rewards, cannot be loaded, or the process died.
        """
        if self._child is None:
            head = check_reward_folder(self._folder, reading, where=self._where)
            self._child = self._started(head)
        self._child.send({"talks": list(talks), "reading": vars(reading)})
        answer = self._child.receive() or {}
        if "trouble" in answer:
            self.close()
            raise ServiceError(self._where, answer["trouble"], fix=answer["fix"])
        return [
            Reward(score, n_tokens, is_cut, None if steps is None else tuple(steps), error)
            for score, n_tokens, is_cut, steps, error in answer["rewards"]
        ]

    def close(self) -> None:
        """Stop the process. Safe to call twice."""
        if self._child is not None:
            self._child.close()
            self._child = None

    def _started(self, head: str) -> Child:
        from databuild.models.vllm_arguments import choose_dtype, find_device

        env = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        child = Child(__name__, where=self._where, log=self._log, env=env)
        device = find_device()
        dtype = choose_dtype("auto", device)
        child.send({"folder": str(self._folder), "head": head, "device": device, "dtype": dtype})
        return child


def _serve() -> None:
    """Load the model, then answer talks with rewards until the parent is gone."""
    parent = connect()
    try:
        job: Json = parent.receive() or {}
        from databuild.models.scorer_network import Network, UnfitError

        network: Network | None = None
        while True:
            asked = parent.receive()
            if asked is None:
                continue
            talks = [json.loads(talk) for talk in asked["talks"]]
            try:
                if network is None:
                    network = Network(Path(job["folder"]), job["head"], job["device"], job["dtype"])
                rewards = network.read(talks, Reading(**asked["reading"]))
            except UnfitError as error:
                parent.send({"trouble": error.what, "fix": error.fix})
            else:
                parent.send({"rewards": rewards})
    except Exception as error:  # noqa: BLE001 -- the boundary of a process
        traceback.print_exc()
        sys.stderr.flush()
        parent.send({"fatal": f"{type(error).__name__}: {error}"})
        sys.exit(1)


if __name__ == "__main__":
    _serve()
