"""A scorer of one's own: near to a length is better. `reward.file` calls it for every row."""

WANTED_CHARS = 60


def score(response: str, prompt: str) -> tuple[float, str]:
    """1 for an answer of the wanted length, towards 0 the further away it is; with the reason."""
    if response.strip() == prompt.strip():
        return 0.0, "it only repeats the prompt"
    away = abs(len(response) - WANTED_CHARS)
    return 1 / (1 + away / WANTED_CHARS), f"{away} characters away"
