"""What is exported, read by the loaders of the trainers themselves; each where it is installed."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from databuild.export.megatron import MegatronConfig, write_shards
from databuild.export.trainer import TrainerConfig, write_for_trainer
from tests.export.rows import DOCUMENTS, FEEDBACK, PAIRS, PROMPTS, SFT, STEPS

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

pytestmark = pytest.mark.filterwarnings("ignore")
TEMPLATE = (
    "{% for message in messages %}{{ '<|start|>' + message['role'] + '\n' + (message['content'] or "
    "'') }}{% for call in message['tool_calls'] or [] %}{{ call | tojson }}{% endfor %}"
    "{{ '<|end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start|>assistant\n' }}{% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    pytest.importorskip("transformers")
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<|endoftext|>", "<|start|>", "<|end|>", "<|pad|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {token: number for number, token in enumerate([*special, *alphabet])}
    reader = Tokenizer(models.BPE(vocab=words, merges=[]))
    reader.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    reader.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=reader, chat_template=TEMPLATE)
    made.eos_token, made.pad_token = "<|end|>", "<|pad|>"
    made.add_special_tokens({"additional_special_tokens": ["<|start|>"]})
    return made


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))


def export(rows: pl.DataFrame, out: Path, **options: Any) -> Path:
    out.mkdir()
    write_for_trainer(rows, TrainerConfig(**options), out=out)
    return out


def lines(folder: Path, split: str = "train") -> list[dict[str, Any]]:
    """The records as `datasets` reads them: every key in every record, null where it is not."""
    datasets = pytest.importorskip("datasets")
    file = str(folder / "data" / f"{split}.jsonl")
    loaded = datasets.load_dataset("json", data_files=file, cache_dir=str(folder / ".cache"))
    return list(loaded["train"])


@pytest.mark.slow
@pytest.mark.parametrize("form", ["trl", "openai", "alpaca", "llamafactory", "verl", "openrlhf"])
def test_datasets_loads_and_streams_every_folder(tmp_path, form):
    datasets = pytest.importorskip("datasets")
    folder = tmp_path / "out"
    folder.mkdir()
    config = TrainerConfig(format=form)
    facts = write_for_trainer(None, config, out=folder, train=SFT, dev=SFT[:2])
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "c"))
    assert {name: split.num_rows for name, split in loaded.items()} == facts["splits"]
    for split in facts["splits"]:
        streamed = datasets.load_dataset(str(folder), split=split, streaming=True)
        assert [one.keys() for one in streamed] == [one.keys() for one in loaded[split]]


@pytest.mark.slow
def test_trl_knows_its_types(tmp_path, tokenizer):
    datasets = pytest.importorskip("datasets")
    data_utils = pytest.importorskip("trl.data_utils")

    def loaded(rows: pl.DataFrame, name: str, **options: Any) -> list[Any]:
        folder = export(rows, tmp_path / name, format="trl", **options)
        found = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "c"))
        return list(found["train"])

    talks = loaded(SFT, "sft")
    assert all(data_utils.is_conversational(one) for one in talks)
    made = data_utils.apply_chat_template(talks[0], tokenizer)
    assert (made["prompt"], made["completion"]) == (
        "<|start|>user\nWhat is 2 + 2?<|end|>\n<|start|>assistant\n", "4.<|end|>\n",
    )  # fmt: skip
    assert "sunny" in data_utils.apply_chat_template(talks[2], tokenizer)["prompt"]
    plain = loaded(SFT, "plain", style="standard")
    assert not data_utils.is_conversational(plain[0])
    explicit, implicit = (
        loaded(PAIRS, name, type=name) for name in ("preference", "implicit_preference")
    )
    for one, other in zip(explicit, implicit, strict=True):
        parted = data_utils.extract_prompt(other)
        assert {k: parted[k] for k in parted} == {k: one[k] for k in parted}
    assert data_utils.is_conversational(loaded(FEEDBACK, "kto")[0])
    assert data_utils.is_conversational(loaded(PROMPTS, "prompts")[0])
    assert loaded(STEPS, "steps")[0]["labels"] == [True, False]
    assert loaded(DOCUMENTS, "text")[0]["text"] == "A page about rain."
    assert loaded(SFT, "lm", type="language_modeling")[1]["messages"][0]["role"] == "system"


@pytest.mark.live
def test_trl_trainers_take_every_type(tmp_path, tokenizer):
    trl = pytest.importorskip("trl")
    datasets = pytest.importorskip("datasets")
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    options = {"output_dir": str(tmp_path / "o"), "use_cpu": True, "bf16": False, "report_to": []}
    cases = [
        (trl.SFTTrainer, trl.SFTConfig, SFT[:2], {}),
        (trl.SFTTrainer, trl.SFTConfig, SFT[:1], {"style": "standard"}),
        (trl.SFTTrainer, trl.SFTConfig, SFT[:2], {"type": "language_modeling"}),
        (trl.SFTTrainer, trl.SFTConfig, DOCUMENTS, {}),
        (trl.DPOTrainer, trl.DPOConfig, PAIRS[:2], {}),
        (trl.DPOTrainer, trl.DPOConfig, PAIRS[:2], {"type": "implicit_preference"}),
        (trl.DPOTrainer, trl.DPOConfig, PAIRS[:1], {"style": "standard"}),
        (trl.KTOTrainer, trl.KTOConfig, FEEDBACK, {}),
    ]
    for number, (trainer, settings, rows, how) in enumerate(cases):
        folder = export(rows, tmp_path / f"t{number}", format="trl", **how)
        data = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "c"))["train"]
        made = trainer(
            model=transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model"),
            args=settings(**options, per_device_train_batch_size=len(data)),
            train_dataset=data, processing_class=tokenizer,
        )  # fmt: skip
        batch = next(iter(made.get_train_dataloader()))
        assert len(batch["input_ids"]) >= len(data), (trainer, how)


@pytest.mark.slow
def test_llamafactory_converts_every_record(tmp_path):
    pytest.importorskip("llamafactory")
    from llamafactory.data.converter import get_dataset_converter
    from llamafactory.data.parser import get_dataset_list

    def converted(rows: pl.DataFrame, name: str) -> list[Any]:
        folder = export(rows, tmp_path / name, format="llamafactory")
        (attr,) = get_dataset_list(["train"], str(folder))
        assert (folder / attr.dataset_name).is_file()
        convert = get_dataset_converter(attr.formatting, attr, SimpleNamespace(media_dir=""))
        return [convert(one) for one in lines(folder)]

    made = converted(SFT, "sft")
    assert len(made) == 4
    assert all(one["_prompt"] and one["_response"] for one in made)  # what it refuses is empty
    assert made[1]["_system"] == "Be brief."
    assert [turn["role"] for turn in made[2]["_prompt"]] == ["user", "function", "observation"]
    assert json.loads(made[2]["_tools"])[0]["function"]["name"] == "weather"
    pairs = converted(PAIRS, "pairs")
    assert [turn["content"] for turn in pairs[0]["_response"]] == ["Blue.", "No."]
    assert [len(one["_prompt"]) for one in pairs] == [1, 3]
    wanted, unwanted = converted(FEEDBACK, "kto")
    assert [turn["content"] for turn in wanted["_response"]] == ["Yes.", ""]
    assert [turn["content"] for turn in unwanted["_response"]] == ["", "No."]
    assert converted(DOCUMENTS, "text")[0]["_prompt"][0]["content"] == "A page about rain."


@pytest.mark.slow
def test_axolotl_reads_what_its_configuration_names(tmp_path, tokenizer):
    pytest.importorskip("axolotl")
    chat = pytest.importorskip("axolotl.prompt_strategies.chat_template")
    from axolotl.prompt_strategies.dpo.chat_template import default
    from axolotl.prompt_strategies.stepwise_supervised import load as load_steps
    from axolotl.utils.dict import DictDefault
    from ruamel.yaml import YAML

    def settings(folder: Path) -> Any:
        return DictDefault(YAML(typ="safe").load((folder / "axolotl.yaml").read_text()))

    folder = export(SFT, tmp_path / "sft", format="axolotl")
    found = settings(folder)
    assert (folder / found.datasets[0].path).is_file()
    found.sequence_len, found.train_on_inputs = 4096, False
    strategy = chat.load(tokenizer, found, ds_cfg=found.datasets[0])
    for one in lines(folder):
        made = strategy.tokenize_prompt(one)
        assert any(label != -100 for label in made["labels"])
    folder = export(PAIRS, tmp_path / "pairs", format="axolotl")
    found = settings(folder)
    assert found.rl == "dpo"
    transform, _ = default(found, 0)
    made = transform(lines(folder)[1], tokenizer=tokenizer)
    assert made["prompt"].count("<|start|>") == 5
    assert (made["chosen"], made["rejected"]) == ("Good.<|end|>", "Bad.<|end|>")
    folder = export(STEPS, tmp_path / "steps", format="axolotl")
    found = settings(folder)
    found.sequence_len = 4096
    made = load_steps(tokenizer, found, found.datasets[0]).tokenize_prompt(lines(folder)[0])
    assert [label for label in made["labels"] if label != -100] == [1, 0]


@pytest.mark.slow
def test_verl_reads_prompts_and_conversations(tmp_path, tokenizer):
    pytest.importorskip("verl")
    from omegaconf import DictConfig
    from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset
    from verl.utils.dataset.rl_dataset import RLHFDataset

    options = {"format": "verl", "ground_truth": "prompt"}
    file = str(export(PROMPTS, tmp_path / "rl", **options) / "data/train.parquet")
    cache = {"cache_dir": str(tmp_path / "v"), "filter_overlong_prompts_workers": 1}
    data = RLHFDataset(file, tokenizer, DictConfig(cache))
    assert len(data) == 2
    row = data[1]
    assert row["reward_model"]["ground_truth"] == "你好吗？"
    assert next(turn["role"] for turn in row["raw_prompt"]) == "system"
    file = str(export(SFT, tmp_path / "sft", format="verl") / "data/train.parquet")
    talks = MultiTurnSFTDataset(file, tokenizer, DictConfig({"max_length": 512}))
    assert len(talks) == 3
    assert all(talks[n]["loss_mask"].sum() > 0 for n in range(3))


@pytest.mark.slow
def test_openrlhf_reads_what_its_arguments_name(tmp_path, tokenizer):
    pytest.importorskip("openrlhf")
    from openrlhf.datasets import prompts_dataset, reward_dataset, sft_dataset

    template = tokenizer.apply_chat_template
    talk = lines(export(SFT, tmp_path / "sft", format="openrlhf"))[1]
    prompt, response = sft_dataset.preprocess_data(talk, None, "input", "output", template)
    assert (prompt.count("<|start|>"), response) == (5, "Good.<|end|>\n")
    pair = lines(export(PAIRS, tmp_path / "pairs", format="openrlhf"))[0]
    made = reward_dataset.preprocess_data(
        pair, None, "prompt", "chosen", "rejected", template, is_dpo=True
    )
    assert made[1:] == ("Blue.<|end|>\n", "No.<|end|>\n", 0.5)
    options = {"format": "openrlhf", "ground_truth": "row_id", "keep": ()}
    asked = lines(export(PROMPTS, tmp_path / "rl", **options))[0]
    prompt, label = prompts_dataset.preprocess_data(asked, None, "input", "label", template)
    assert (prompt.count("<|start|>"), label) == (2, "r0")


def shards(tmp_path: Path, rows: pl.DataFrame, tokenizer: Any) -> tuple[dict[str, Any], Path]:
    tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "out").mkdir()
    config = MegatronConfig(model="tokenizer")
    facts = write_shards(rows, config, model=tmp_path / "model", out=tmp_path / "out")
    return facts, tmp_path / "out" / "train_text_document"


@pytest.mark.slow
@pytest.mark.parametrize("rows", [DOCUMENTS, SFT], ids=["documents", "conversations"])
def test_megatron_reads_its_shards(tmp_path, tokenizer, rows):
    found = pytest.importorskip("megatron.core.datasets.indexed_dataset")
    facts, prefix = shards(tmp_path, rows, tokenizer)
    data = found.IndexedDataset(str(prefix))
    assert len(data) == facts["rows"] == rows.height - len(facts["rows_skipped"])
    assert sum(len(one) for one in data) == facts["tokens"]
    assert data.document_indices.tolist() == list(range(facts["rows"] + 1))
    said = "A page about rain.<|end|>" if rows is DOCUMENTS else "4.<|end|>\n<|end|>"
    assert tokenizer.decode(data[0]).endswith(said)
    assert all(one[-1] == tokenizer.eos_token_id for one in data)
