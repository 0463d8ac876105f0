"""The process that compares mathematical expressions: one question and one verdict a line, in JSON.

Run as a script, with math-verify (Hugging Face) and SymPy. It is a process of its own because
what SymPy is asked may never end (`9^{9^{9^9}}`): whoever asks waits so long and no longer.
"""

from __future__ import annotations

import json
import resource
import sys

MEMORY_BYTES = 4 << 30


def main() -> None:
    """Answer every line `[reference, [candidate, ...]]`: true, false, or a text of trouble."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    import logging

    logging.disable(logging.CRITICAL)
    from math_verify import parse, verify

    def read(text: str) -> list[object]:
        # Their own timeouts are signals, which do not interrupt one long operation; ours kills.
        return list(parse(text, parsing_timeout=None))

    def compare(reference: str, candidates: list[str]) -> bool | str:
        gold = read(reference)
        if all(isinstance(one, str) for one in gold):
            return "the right answer cannot be read as mathematics"
        for text in candidates:
            said = read(text)
            if not all(isinstance(one, str) for one in said):
                return bool(verify(gold, said, timeout_seconds=None))
        return False

    compare(r"\boxed{\frac12}", [r"\boxed{2}"])  # what is loaded late counts as starting
    sys.stdout.write("\n")
    sys.stdout.flush()
    for line in sys.stdin:
        try:
            verdict = compare(*json.loads(line))
        except (Exception, RecursionError) as error:  # noqa: BLE001 -- a parser may raise anything
            verdict = f"{type(error).__name__}"
        sys.stdout.write(json.dumps(verdict) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
