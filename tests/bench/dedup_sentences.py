"""Sentences to make corpora of: written here by a grammar, or cut from a folder of real data.

Each comes as a head and a tail, so that a generator can also join the head of one to the tail of
another: n sentences then make n * n.
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Columns of text in the folder of real data, by language where a file has one language only.
FILES = {
    "alpaca_en.parquet": ("instruction", "input", "output"),
    "alpacaeval_best_of_k.parquet": ("instruction", "output"),
    "dolly_3k.parquet": ("instruction", "input", "output"),
    "code_gpteacher.parquet": ("instruction", "output"),
    "alpaca_gpt4_zh.parquet": ("instruction", "input", "output"),
    "gsm8k_train.parquet": ("question", "answer"),
}
HAN = r"[\p{Han}]"


class Sentences(NamedTuple):
    """Halves of sentences of one language, `heads[i]` and `tails[i]` of the same."""

    heads: list[str]
    tails: list[str]
    joint: str
    """What stands between words and between sentences: a space, or nothing."""


class Source(NamedTuple):
    """Where the texts of a corpus come from."""

    name: str
    english: Sentences
    chinese: Sentences


def halved(sentences: list[str], joint: str) -> Sentences:
    """Cut every sentence in the middle, between words or (no `joint`) between characters."""
    heads, tails = [], []
    for sentence in sentences:
        parts = sentence.split(joint) if joint else list(sentence)
        middle = len(parts) // 2
        heads.append(joint.join(parts[:middle]))
        tails.append(joint.join(parts[middle:]))
    return Sentences(heads, tails, joint)


def from_data(folder: Path) -> Source:
    """The sentences of the instruction sets in a folder; nothing of them is written down here."""
    texts: list[str] = []
    for name, columns in FILES.items():
        rows = pl.read_parquet(folder / name, columns=list(columns))
        texts.extend(text for c in columns for text in rows[c].drop_nulls().to_list())
    talks = pl.read_parquet(folder / "multi_turn.parquet", columns=["messages"])
    contents = talks.explode("messages").unnest("messages")["content"].drop_nulls()
    texts.extend(contents.to_list())
    for path in sorted((folder / "long_docs").glob("*.txt")):
        texts.extend(path.read_text(encoding="utf-8").replace("</p>", "\n").splitlines())
    for path in (folder / "self_instruct_seed_tasks.jsonl.gz",):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            texts.extend(pl.read_ndjson("".join(lines).encode())["instruction"].to_list())
    return Source("data", *_cut(pl.Series(texts, dtype=pl.String)))


def _cut(texts: pl.Series) -> tuple[Sentences, Sentences]:
    pieces = pl.DataFrame({"s": texts}).select(
        pl.col("s").str.replace_all(r"<[^>]*>", "").str.extract_all(r"[^.!?。！？\n]+[.!?。！？]*")
    )
    found = (
        pieces.explode("s").drop_nulls().select(pl.col("s").str.strip_chars())
        .with_columns(n=pl.col("s").str.len_chars(), han=pl.col("s").str.count_matches(HAN))
        .unique("s").sort("s")
    )  # fmt: skip
    share = pl.col("han") / pl.col("n")
    english = found.filter((share < 0.01) & pl.col("s").str.count_matches(" ").is_between(4, 40))
    chinese = found.filter((share > 0.5) & pl.col("n").is_between(6, 80))
    return halved(english["s"].to_list(), " "), halved(chinese["s"].to_list(), "")


# ------------------------------------------------------------------------------------- the grammar

WHO = (
    "The old gardener|A young nurse|My neighbour|The night guard|Every pupil in the class|Our bus"
    " driver|The mayor's brother|A retired pilot|The baker on the corner|Two tired hikers|The"
    " captain of the ferry|A visiting engineer|The choir's leader|Nobody at the office|The new"
    " librarian|A patient fisherman|The tall carpenter|Her youngest cousin|The judge from the"
    " north|A group of students|The museum's painter|An impatient customer|The village doctor|Most"
    " of the farmers"
)
DOES = (
    "repairs|explains|paints|counts|borrows|describes|measures|forgets|collects|translates|draws|"
    "polishes|compares|photographs|orders|washes|sorts|records|carries|weighs|sells|hides|copies|"
    "inspects|admires|packs|labels|lists|tests|returns"
)
WHAT = (
    "the broken clock|a map of the river|seven wooden chairs|the letters of last winter|a bowl of"
    " cold soup|the green bicycle|an unusual shell|the timetable of the trains|a heavy suitcase|the"
    " rules of the game|the roof of the barn|a jar of honey|the names of the stars|a long list of"
    " errors|some rusty tools|the recipe for bread|a film about whales|the answer to the riddle|the"
    " keys of the cellar|an empty notebook|the colours of autumn leaves|a story about a fox|the"
    " price of fresh fish|the results of the vote|a small stone bridge|the engine of the tractor"
)
WHERE = (
    "behind the station|in the narrow kitchen|near the frozen lake|under the apple tree|at the"
    " northern border|on the second floor|beside the old mill|across the market square|in a quiet"
    " valley|outside the theatre|along the sandy coast|above the bakery|between two islands|in the"
    " school yard|at the end of the road|inside the lighthouse"
)
WHEN = (
    "before sunrise|every second Tuesday|after the storm|during the long holidays|at noon|once a"
    " year|while the others sleep|as soon as it rains|on the first day of March|late in the"
    " evening|for almost three hours|until the bell rings|without any hurry|in the middle of July"
)
WHY = (
    "because nobody else wants to|so that the children can learn from it|although the weather"
    " report warned of snow|and writes everything down in a blue book|which surprises the whole"
    " street|since the machine stopped working|but only if there is enough light|to find out how"
    " much is missing|and then asks for a second opinion|as the contract says"
)
ASKS = (
    "Explain in simple words why|Write a short note that tells how|Summarise the report in which|"
    "Decide whether it is true that|Translate into French:|Give three reasons why|Rewrite this in"
    " a friendly tone:|Find the mistake in the sentence:|Imagine that|Describe step by step how|"
    "Answer with yes or no whether|Turn into a question:"
)
ZH_WHO = (
    "老园丁|年轻的护士|我的邻居|值夜班的保安|班里的每个学生|公交车司机|退休的飞行员|街角的面包师|两个疲惫的旅人|"
    "渡船的船长|来访的工程师|合唱团的指挥|新来的图书管理员|耐心的渔夫|高个子木匠|她最小的表弟|北方来的法官|村里的医生"
)
ZH_DOES = "修理|解释|描绘|清点|借走|描述|测量|忘记|收集|翻译|擦亮|比较|拍摄|订购|清洗|整理|记录|搬运|称量|检查"
ZH_WHAT = (
    "坏掉的钟|一张河流的地图|七把木椅|去年冬天的信件|一碗冷汤|绿色的自行车|火车时刻表|沉重的箱子|游戏的规则|谷仓的屋顶|"
    "一罐蜂蜜|星星的名字|一长串错误|生锈的工具|做面包的方法|关于鲸鱼的电影|谜语的答案|地下室的钥匙|空白的笔记本|秋叶的颜色"
)
ZH_WHERE = "在车站后面|在狭窄的厨房里|在结冰的湖边|在苹果树下|在北方边境|在二楼|在旧磨坊旁|在剧院外面|沿着沙滩|在灯塔里"
ZH_WHEN = "日出之前|每隔一个星期二|暴风雨过后|在漫长的假期里|中午|一年一次|趁别人睡觉时|一下雨就|三月的第一天|深夜"
ZH_WHY = (
    "因为没有别人愿意做|好让孩子们从中学习|虽然天气预报说要下雪|并把一切写进蓝色的本子|这让整条街都感到惊讶|"
    "因为机器停了下来|但只有光线足够时才行|为了弄清楚少了多少|然后再征求别人的意见|正如合同里写的那样"
)


def from_grammar(seed: int = 0, n: int = 40_000) -> Source:
    """`n` English and `n // 3` Chinese sentences, each drawn from lists of parts."""
    rng = np.random.default_rng(seed)
    english = sorted(set(_english(rng, n)))
    chinese = sorted(set(_chinese(rng, n // 3)))
    return Source("grammar", halved(english, " "), halved(chinese, ""))


def _drawn(rng: np.random.Generator, parts: str, n: int) -> list[str]:
    listed = parts.split("|")
    return [listed[i] for i in rng.integers(0, len(listed), n)]


def _english(rng: np.random.Generator, n: int) -> Iterator[str]:
    lists = [_drawn(rng, parts, n) for parts in (ASKS, WHO, DOES, WHAT, WHERE, WHEN, WHY)]
    shapes = rng.integers(0, 6, n).tolist()
    numbers = rng.integers(2, 400, n).tolist()
    for ask, who, does, what, where, when, why, shape, number in zip(
        *lists, shapes, numbers, strict=True
    ):
        then = when[0].upper() + when[1:]
        yield (
            f"{who} {does} {what} {where} {when}, {why}.",
            f"{ask} {who[0].lower()}{who[1:]} {does} {what} {where}.",
            f"{then}, {who[0].lower()}{who[1:]} {does} {what} {number} times, {why}.",
            f"{who} {does} {number} parts of {what} {when} {where}.",
            f"{ask} {who[0].lower()}{who[1:]} {does} {what} {when}, {why}?",
            f"{then} {where}, {who[0].lower()}{who[1:]} {does} {what}.",
        )[shape]


def _chinese(rng: np.random.Generator, n: int) -> Iterator[str]:
    lists = [_drawn(rng, p, n) for p in (ZH_WHO, ZH_DOES, ZH_WHAT, ZH_WHERE, ZH_WHEN, ZH_WHY)]
    shapes = rng.integers(0, 4, n).tolist()
    for who, does, what, where, when, why, shape in zip(*lists, shapes, strict=True):
        yield (
            f"{who}{where}{does}{what}，{why}。",
            f"{when}，{who}{where}{does}{what}。",
            f"请用简单的话说明{who}为什么{when}{does}{what}。",
            f"{when}{who}{does}{what}，{why}。",
        )[shape]
