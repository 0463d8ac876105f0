from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from databuild.engine.resources import Ask, Silence
from databuild.errors import RecipeError, ServiceError
from databuild.models.embedder import HASHED, HashedNgrams, StaticEmbedder, open_embedder
from databuild.models.services import LocalServices
from databuild.recipe.model import ModelSpec

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = ["Red apples", "a blue sky over the sea", "", "请用简单的话解释", "🌈🌈🌈", "x"]


def likeness(vectors: np.ndarray) -> np.ndarray:
    return vectors @ vectors.T


def test_texts_that_share_spelling_are_near():
    near = likeness(HashedNgrams().embed(["red apples", "Red  apple", "a blue sky"]))
    assert near[0, 1] > 0.7
    assert abs(near[0, 2]) < 0.3


def test_a_hashed_vector_depends_on_its_own_text_alone():
    embedder = HashedNgrams()
    together = embedder.embed(TEXTS)
    assert together.shape == (6, 256)
    assert together.dtype == np.float32
    assert np.array_equal(together, np.concatenate([embedder.embed([text]) for text in TEXTS]))
    lengths = np.linalg.norm(together, axis=1)
    assert lengths == pytest.approx([1, 1, 0, 1, 1, 1])
    assert embedder.embed([]).shape == (0, 256)
    embedder.close()


def test_hashed_vectors_are_those_that_were_defined():
    """By hand, from the definition: another value is another version."""
    wanted = np.zeros(256)
    for n in (3, 4):
        for start in range(len(" ab ") - n + 1):
            h = 0
            for letter in " ab "[start : start + n]:
                h = (h * 1_000_003 + ord(letter)) % 2**64
            h = h * 0x9E37_79B9_7F4A_7C15 % 2**64
            wanted[h >> 56] += -1 if h >> 55 & 1 else 1
    assert HashedNgrams().embed(["AB"])[0] == pytest.approx(wanted / np.linalg.norm(wanted))


@pytest.fixture
def static_folder(tmp_path: Path) -> Path:
    """A model2vec folder with three words, as model2vec 0.10 writes it."""
    pytest.importorskip("tokenizers")
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    words = {"[UNK]": 0, "red": 1, "blue": 2, "sky": 3}
    unknown = {"unk_token": "[UNK]"}
    tokenizer = Tokenizer(models.WordLevel(words, **unknown))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    vectors = np.array([[9, 9], [3, 4], [0, 2], [2, 0]], dtype=np.float16)
    save_file({"embeddings": vectors}, tmp_path / "model.safetensors")
    config = {"model_type": "model2vec", "normalize": True, "max_length": 3}
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path


def test_a_static_model_takes_the_mean_of_its_tokens(static_folder: Path):
    embedder = open_embedder(static_folder, log=static_folder / "log")
    assert isinstance(embedder, StaticEmbedder)
    found = embedder.embed(["Red", "blue SKY", "green", "", "sky sky sky red red"])
    half = 0.5**0.5
    assert found == pytest.approx(np.array([[0.6, 0.8], [half, half], [0, 0], [0, 0], [1, 0]]))
    assert embedder.embed([]).shape == (0, 2)
    embedder.close()


def test_a_static_model_may_map_and_weigh_its_tokens(static_folder: Path):
    from safetensors.numpy import save_file

    tensors = {
        "embeddings": np.array([[1, 0], [0, 1]], dtype=np.float32),
        "mapping": np.array([0, 0, 1, 1]),
        "weights": np.array([1, 1, 1, 3], dtype=np.float32),
    }
    save_file(tensors, static_folder / "model.safetensors")
    (static_folder / "config.json").write_text('{"model_type": "model2vec", "normalize": false}')
    found = StaticEmbedder(static_folder).embed(["red sky"])
    assert found.tolist() == [[0.5, 1.5]]


def test_a_damaged_folder_is_named(tmp_path: Path):
    with pytest.raises(ServiceError, match=r"has no config.json that can be read"):
        open_embedder(tmp_path, log=tmp_path / "log")
    (tmp_path / "config.json").write_text('{"model_type": "model2vec"}')
    with pytest.raises(ServiceError, match=r"is no model2vec folder"):
        open_embedder(tmp_path, log=tmp_path / "log")


@pytest.mark.parametrize("spec", [{"packaged": HASHED}, {"fake": {}}])
def test_services_embed_without_a_model(tmp_path: Path, spec):
    services = LocalServices(tmp_path, "cpu")
    target = services.identify(ModelSpec.model_validate(spec), tmp_path)
    ask = Ask("embedder", "s", {"model": target}, tmp_path, 0, Silence())
    assert services.provide(ask).embed(["a"]).shape == (1, 256)
    assert services.provide(Ask("embedder", "s", {}, tmp_path, 0, Silence())) is None
    services.close()
    services.close()


def test_hashed_ngrams_cannot_be_trained_or_asked(tmp_path: Path):
    services = LocalServices(tmp_path, "cpu")
    target = services.identify(ModelSpec(packaged=HASHED), tmp_path)
    assert target.identity == "hashed-ngrams@v1"
    with pytest.raises(RecipeError, match="it has no folder, and can only embed"):
        services.provide(Ask("model", "s", {"model": target}, tmp_path, 0, Silence()))


def test_texts_that_a_static_model_cuts_are_said(static_folder: Path):
    read = StaticEmbedder(static_folder).read(["red red red", "red red red red", ""], "sky ")
    assert read.is_cut_N.tolist() == [True, True, False]
    assert read.longest == 3
    assert read.vectors_ND[2] == pytest.approx([1, 0])
    hashed = HashedNgrams().read(["apples"], "red ")
    assert np.array_equal(hashed.vectors_ND, HashedNgrams().embed(["red apples"]))
    assert (hashed.is_cut_N.tolist(), hashed.longest) == ([False], None)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", b"[1]"),
        ("model.safetensors", b"junk"),
        ("tokenizer.json", b"{}"),
        ("tokenizer.json", b"\xff"),
    ],
)
def test_whatever_is_damaged_in_a_static_folder_is_named(static_folder: Path, name, content):
    (static_folder / name).write_bytes(content)
    with pytest.raises(ServiceError, match=r"is no model2vec folder: \w+"):
        StaticEmbedder(static_folder)


def test_a_static_folder_with_other_tensors_is_named(static_folder: Path):
    from safetensors.numpy import save_file

    for tensors in ({"weights": np.ones((2, 2))}, {"embeddings": np.ones(4)}):
        save_file(tensors, static_folder / "model.safetensors")
        with pytest.raises(ServiceError, match=r"is no model2vec folder: (KeyError|ValueError)"):
            StaticEmbedder(static_folder)


def test_a_model_that_generates_is_no_embedder(tmp_path: Path):
    (tmp_path / "config.json").write_text('{"architectures": ["GPT2LMHeadModel"]}', "utf-8")
    with pytest.raises(ServiceError, match=r"generates \(GPT2LMHeadModel\), not one that embeds"):
        open_embedder(tmp_path, log=tmp_path / "log")
