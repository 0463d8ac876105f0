from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from databuild.errors import ServiceError
from databuild.models.pooling import read_shape

if TYPE_CHECKING:
    from pathlib import Path

MODULES = [
    {"path": "", "type": "sentence_transformers.models.Transformer"},
    {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]


def folder(home: Path, **files: Any) -> Path:
    """A folder with these JSON files; two underscores in a name stand for a slash."""
    for name, content in files.items():
        path = home / f"{name.replace('__', '/')}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return home


def test_a_folder_that_says_nothing_is_pooled_by_its_mean(tmp_path):
    shape = read_shape(tmp_path)
    assert (shape.network, shape.ways, shape.is_normal) == (tmp_path, ("mean",), True)
    assert (shape.longest, shape.lower, shape.prompt) == (None, False, "")


@pytest.mark.parametrize(
    ("pooling", "ways"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, ("cls",)),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, ("cls", "mean")),
        ({"pooling_mode_lasttoken": True, "word_embedding_dimension": 4}, ("lasttoken",)),
        ({"pooling_mode": "cls", "embedding_dimension": 4}, ("cls",)),
        ({"pooling_mode": ["mean", "max"]}, ("mean", "max")),
        ({"embedding_dimension": 4}, ("mean",)),
    ],
)
def test_both_ways_of_writing_a_pooling_are_read(tmp_path, pooling, ways):
    shape = read_shape(folder(tmp_path, modules=MODULES, **{"1_Pooling__config": pooling}))
    assert shape.ways == ways
    assert not shape.is_normal


def test_what_a_folder_says_is_read(tmp_path):
    modules = [
        {"path": "0_Transformer", "type": "sentence_transformers.models.Transformer"},
        {"path": "1_P", "type": "sentence_transformers.sentence_transformer.modules.Pooling"},
        {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]
    prompts = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
    reading = {"max_seq_length": 1024, "do_lower_case": True}
    files = {"1_P__config": {"pooling_mode": "max"}, "0_Transformer__sentence_bert_config": reading}
    made = folder(tmp_path, modules=modules, config_sentence_transformers=prompts, **files)
    shape = read_shape(made)
    assert (shape.network.name, shape.ways, shape.is_normal) == ("0_Transformer", ("max",), True)
    assert (shape.longest, shape.lower, shape.prompt) == (1024, True, "query: ")
    assert shape.limit(None, 512) == 512
    assert shape.limit(None, 10**30) == 1024


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"modules": [{"type": "sentence_transformers.models.Dense"}]}, "has the module Dense"),
        ({"1_Pooling__config": {"pooling_mode": "attention"}}, "pools in the way 'attention'"),
        ({"1_Pooling__config": {"pooling_mode_new": True}}, "pools in the way 'pooling_mode_new'"),
        ({"modules": "{"}, r"modules\.json cannot be read"),
        ({"modules": {}}, r"modules\.json holds dict, not list"),
        (
            {
                "1_Pooling__config": {"include_prompt": False},
                "config_sentence_transformers": {"prompts": {"q": "a"}, "default_prompt_name": "q"},
            },
            "leaves its prompt out of the pooling",
        ),
    ],
)
def test_what_is_not_known_is_refused_by_name(tmp_path, files, message):
    with pytest.raises(ServiceError, match=message):
        read_shape(folder(tmp_path, **files))
