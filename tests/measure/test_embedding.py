from __future__ import annotations

import numpy as np
import polars as pl

from databuild.measure.embedding import EmbeddingConfig, measure_embedding
from databuild.models.embedder import Embedded, HashedNgrams

ROWS = pl.DataFrame({"row_id": list("abcdef"), "t": ["Hi", None, "  ", "bye", "Hi", "nan"]})
CONFIG = EmbeddingConfig(model="m", column="t")


class Spy:
    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def read(self, texts: list[str], prefix: str | None = None) -> Embedded:
        self.asked.append([(prefix or "") + text for text in texts])
        rows = {"Hi": [1, 2], "bye": [0, 0], "nan": [float("nan"), 1]}
        vectors = np.array([rows[text] for text in texts], dtype=np.float32)
        return Embedded(vectors, np.zeros(len(texts), dtype=bool))


def test_equal_texts_are_embedded_once_and_nothing_is_made_up():
    spy = Spy()
    found = measure_embedding(ROWS, CONFIG, embedder=spy)
    assert spy.asked == [["Hi", "bye", "nan"]]
    assert found["t_embedding"].to_list() == [[1, 2], None, None, None, [1, 2], None]
    assert found["t_embedding"].dtype == pl.List(pl.Float32)
    assert found["error"].to_list() == [None, None, None, "no token", None, "the vector has a number that is not finite"]  # fmt: skip


def test_without_a_text_the_model_is_not_asked():
    spy = Spy()
    for rows in (ROWS.head(0), ROWS.filter(pl.col("row_id") == "b")):
        found = measure_embedding(rows, CONFIG, embedder=spy)
        assert found["t_embedding"].to_list() == [None] * rows.height
        assert found.schema["t_embedding"] == pl.List(pl.Float32)
    assert spy.asked == []


def test_vectors_say_what_the_embedder_says():
    embedder = HashedNgrams()
    found = measure_embedding(ROWS, CONFIG, embedder=embedder)["t_embedding"]
    assert np.array_equal(np.array(found[3]), embedder.embed(["bye"])[0])


def test_vectors_survive_a_kill_and_a_prefix_is_put_before(tmp_path):
    config = EmbeddingConfig(model="m", column="t", prefix="query: ")
    first, again = Spy(), Spy()
    found = [
        measure_embedding(ROWS, config, embedder=spy, scratch=tmp_path) for spy in (first, again)
    ]
    assert first.asked == [["query: Hi", "query: bye", "query: nan"]]
    assert again.asked == []
    assert found[0].equals(found[1])
