"""Real networks, tiny: the rewards are those that each text gets alone, in a plain loop."""

from __future__ import annotations

import json
import math
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from databuild.errors import ServiceError
from databuild.models.scorer import Reading, Reward
from databuild.models.scorer_network import Network, UnfitError
from databuild.models.scorer_process import RewardModel
from databuild.models.vllm_arguments import choose_dtype, find_device
from tests.train.conftest import TEMPLATE, WORDS, tiny  # noqa: F401 -- a fixture

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

ANSWERS = ["red", "a lamp " * 9, "好 🙂", "stone\ncloud\nbread", "x" * 40, "red river"]
HEAD = "ForSequenceClassification"


def talk(answer: str, prompt: str = "What?") -> dict[str, Any]:
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
    return {"turns": [{**turn, "name": None} for turn in turns], "tools": None}


def classifier(start: Path, out: Path, labels: int = 1, kind: str = HEAD) -> Path:
    """The tiny language model with a random head instead of its own."""
    import torch
    import transformers

    torch.manual_seed(3)
    shutil.copytree(start, out)
    model = getattr(transformers, f"AutoModel{kind}").from_pretrained(start, num_labels=labels)
    model.score.weight.data.normal_()
    if hasattr(model.score, "bias") and model.score.bias is not None:
        model.score.bias.data.normal_()
    model.save_pretrained(out)
    return out


@pytest.fixture(scope="module")
def one(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    return classifier(tiny, tmp_path_factory.mktemp("one") / "model")


def network(folder: Path, head: str = HEAD) -> Network:
    return Network(folder, head, "cpu", "float32")


def plain_loop(folder: Path, talks: list[dict[str, Any]]) -> list[list[float]]:
    """What a plain transformers loop gives, one text after the other."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    found = []
    for one_talk in talks:
        turns = [{k: v for k, v in t.items() if v is not None} for t in one_talk["turns"]]
        text = tokenizer.apply_chat_template(turns, tokenize=False)
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            found.append(model(input_ids=ids).logits[0].tolist())
    return found


@pytest.mark.parametrize("batch_tokens", [8, 150, 8192])
def test_rewards_are_those_of_each_text_alone(one: Path, batch_tokens: int) -> None:
    talks = [talk(answer) for answer in ANSWERS]
    rewards = network(one).read(talks, Reading(batch_tokens=batch_tokens))
    expected = [logits[0] for logits in plain_loop(one, talks)]
    assert [r.score for r in rewards] == pytest.approx(expected, abs=1e-4)
    assert len({round(score, 3) for score in expected}) == len(expected)
    assert not any(r.is_cut or r.error for r in rewards)


def test_of_two_labels_the_log_odds_of_one(tiny: Path, tmp_path: Path) -> None:  # noqa: F811
    folder = classifier(tiny, tmp_path / "two", labels=3)
    talks = [talk(answer) for answer in ANSWERS]
    rewards = network(folder).read(talks, Reading(label=1))
    for reward, logits in zip(rewards, plain_loop(folder, talks), strict=True):
        p = math.exp(logits[1]) / sum(map(math.exp, logits))
        assert reward.score == pytest.approx(math.log(p / (1 - p)), abs=1e-3)


def test_the_beginning_of_a_long_talk_is_not_read(one: Path) -> None:
    long, short = talk("red", prompt="blue " * 40), talk("red")
    cut, whole = network(one).read([long, short], Reading(max_length=60))
    assert (cut.n_tokens, cut.is_cut, whole.is_cut) == (60, True, False)
    assert cut.error is None
    assert whole.n_tokens < 60


def test_a_step_gets_what_a_text_up_to_its_mark_gets(one: Path) -> None:
    import torch
    from transformers import AutoTokenizer

    net, answer = network(one), "stone\ncloud\n\nbread"
    (reward,) = net.read([talk(answer)], Reading(steps="\n"))
    tokenizer = AutoTokenizer.from_pretrained(one)
    before = "<|start|>user\nWhat?<|end|>\n<|start|>assistant\n"
    for n, step in enumerate(reward.steps or ()):
        text = before + "".join(f"{s}\n" for s in ["stone", "cloud", "bread"][: n + 1])
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            logit = float(net.network(input_ids=ids).logits[0, 0])
        assert step == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-5)
    assert len(reward.steps or ()) == 3
    assert reward.score is None
    marked = Reading(steps="\n", step_mark="<|pad|>")  # read at a token of its own
    (other,) = net.read([talk(answer)], marked)
    assert len(other.steps or ()) == 3
    assert other.steps != reward.steps
    blank, far = net.read([talk(" \n"), talk("x" * 300)], Reading(steps="\n", max_length=60))
    assert blank.error == "the answer has no step"
    assert far.error == "the steps alone have more than 60 tokens"


def test_a_model_that_judges_tokens(tiny: Path, tmp_path: Path) -> None:  # noqa: F811
    kind = "ForTokenClassification"
    folder = classifier(tiny, tmp_path / "prm", labels=2, kind=kind)
    net = network(folder, kind)
    talks = [talk("red\nblue"), talk("one\ntwo\nthree " * 3)]
    together = net.read(talks, Reading(steps="\n", label=1))
    other = net.read(talks[:1], Reading(steps="\n", label=0))
    assert [len(r.steps or ()) for r in together] == [2, 7]
    first = together[0].steps or ()
    assert [1 - p for p in other[0].steps or ()] == pytest.approx(first, abs=1e-5)


def test_what_is_not_finite_is_missing(one: Path, tmp_path: Path) -> None:
    net = network(one)
    net.network.score.weight.data[0, 0] = math.nan
    (reward,) = net.read([talk("red")], Reading())
    assert (reward.score, reward.error) == (None, "the model's reward is not a finite number")
    (steps,) = net.read([talk("red")], Reading(steps="\n"))
    assert (steps.steps, steps.error) == (None, "the model's reward is not a finite number")


def test_a_template_that_refuses_a_talk_costs_that_talk(one: Path) -> None:
    net = network(one)
    net.tokenizer.chat_template = (
        "{% if messages[0]['content'] == 'no' %}{{ raise_exception('never') }}{% endif %}"
        + TEMPLATE
    )
    refused, read = net.read([talk("red", prompt="no"), talk("red")], Reading())
    assert refused == Reward(None, 0, False, None, "the chat template refuses it: never")
    assert read.score is not None


def test_without_a_template_a_decoder_reads_both_in_a_row(one: Path) -> None:
    net = network(one)
    net.tokenizer.chat_template = None
    (reward,) = net.read([talk(" red")], Reading())
    assert reward.n_tokens == len("What? red") + 1  # a token a byte, and the end of the text


def test_an_encoder_reads_a_pair(tmp_path: Path) -> None:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    words = {w: n for n, w in enumerate(["[PAD]", "[CLS]", "[SEP]", "[UNK]", *WORDS])}
    reader = Tokenizer(models.WordLevel(words, "[UNK]"))
    reader.pre_tokenizer = pre_tokenizers.Whitespace()
    reader.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )  # fmt: skip
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "cls", "sep", "unk")}
    PreTrainedTokenizerFast(
        tokenizer_object=reader, model_max_length=12, **special
    ).save_pretrained(tmp_path)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, num_labels=1, max_position_embeddings=64,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    net = network(tmp_path)
    short, long, other = net.read(
        [talk("red lamp", "blue"), talk("red " * 20, "blue"), talk("red lamp", "green")], Reading()
    )
    assert (short.n_tokens, long.n_tokens, long.is_cut, short.is_cut) == (6, 12, True, False)
    assert short.score != other.score
    with pytest.raises(UnfitError, match="one reward for a text, none for its steps"):
        net.read([talk("red")], Reading(steps="\n"))


def test_a_process_reads_and_says_what_does_not_fit(one: Path, tmp_path: Path) -> None:
    talks = [json.dumps(talk(answer)) for answer in ANSWERS]
    device = find_device()  # a process computes in what the machine multiplies fastest
    here = Network(one, HEAD, device, choose_dtype("auto", device))
    expected = here.read([talk(answer) for answer in ANSWERS], Reading())
    scorer = RewardModel(one, log=tmp_path / "log", where="scored")
    try:
        found = scorer.read(talks, Reading())
        assert [r.score for r in found] == pytest.approx([r.score for r in expected], abs=1e-5)
        steps = scorer.read(talks[3:4], Reading(steps="\n"))
        assert len(steps[0].steps or ()) == 3
    finally:
        scorer.close()
        scorer.close()
    bare = tmp_path / "bare"
    shutil.copytree(one, bare)
    from safetensors.torch import load_file, save_file

    held = load_file(bare / "model.safetensors")
    held.pop("score.weight")
    save_file(held, bare / "model.safetensors", metadata={"format": "pt"})
    scorer = RewardModel(bare, log=tmp_path / "log", where="scored")
    with pytest.raises(ServiceError, match=r"scored: .*no weights for score\.weight.*random"):
        scorer.read(talks, Reading())


def test_another_models_tokenizer_is_noticed(one: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    other = tmp_path / "other"
    shutil.copytree(one, other)
    tokenizer = AutoTokenizer.from_pretrained(one)
    tokenizer.add_tokens(["onemore"])
    tokenizer.save_pretrained(other)
    with pytest.raises(UnfitError, match="has 261 tokens, the model knows 260"):
        network(other)
