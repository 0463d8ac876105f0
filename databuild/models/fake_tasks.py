"""The fake model's answers to the prompts of `generate.self_instruct`, in English and Chinese.

About one task in eight breaks a rule of that step, as those of a real model do.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

_VERBS = {
    "en": "Describe Explain Compare Summarize Outline Criticize Praise Rewrite List Suggest Sketch "
    "Defend Question Simplify Advertise Recall Imagine Predict Rank Justify Teach Review Plan "
    "Translate",
    "zh": "描述 解释 比较 概括 列举 评价 赞美 改写 建议 设想 预测 介绍 分析 说明 讨论 计划",
}
_THINGS = {
    "en": "the night train|a market garden|old bridges|school lunches|winter birds|"
    "a family recipe|street music|the tides|honey|lost letters|a village doctor|city parks|"
    "bicycle repair|folk songs|ceramic glazes|sleeping habits|mountain weather|"
    "public libraries|bees in spring|paper boats|a chess opening|solar ovens|rain barrels|"
    "museum guards|"
    "ferry timetables|sourdough|handwriting|desert plants|lighthouse keepers|grandparents' stories",
    "zh": "夜班火车|菜市场|石桥|午餐|冬天的鸟|家常菜|街头音乐|潮汐|蜂蜜|旧书信|乡村医生|公园|"
    "修车|民歌|陶器|睡眠|山里的天气|图书馆|春天的蜜蜂|纸船|围棋|雨水|博物馆|渡船|面包|书法|沙漠植物|灯塔",
}
_FRAMES = {
    "en": "for a curious child|in the style of a diary|as if it were the year 2100|"
    "with two examples|for someone who is in a hurry|from the view of a historian|"
    "in exactly three sentences|without naming it|using only questions|"
    "as advice to a friend|and say why it matters|for the front page of a newspaper|"
    "in the voice of a sailor|with one surprising comparison",
    "zh": "讲给小学生听|写成一封信|用三句话|举两个例子|从历史的角度|给赶时间的人看|并说明理由|"
    "写成对话|不要提到它的名字|用一个比喻|写成新闻报道|写成一首短诗",
}
_FAULTY = {
    "en": ("Go on.", "Describe this image of a harbour at dusk.", "(see the list above, please)"),
    "zh": ("继续。", "请描述这张图片里的港口和船只。", "（请看上面的列表）"),
}
_LABELS = {"en": ("positive", "negative", "neutral"), "zh": ("正面", "负面", "中性")}


def answer_about_tasks(prompt: str, draw: np.random.Generator) -> str | None:
    """Answer a prompt of `generate.self_instruct`; None when it is none."""
    for language, pattern, write in _PROMPTS:
        found = re.search(pattern, prompt)
        if found:
            return write(found, language, draw)
    return None


def _tasks(found: re.Match[str], language: str, draw: np.random.Generator) -> str:
    first, last = int(found[1]), int(found[2])
    return "\n".join(f"{n}. {_task(language, draw)}" for n in range(first, last + 1))


def _task(language: str, draw: np.random.Generator) -> str:
    if draw.random() < 0.12:
        return _one(_FAULTY[language], draw)
    verb = _one(_VERBS[language].split(), draw)
    thing, frame = (_one(held[language].split("|"), draw) for held in (_THINGS, _FRAMES))
    label = draw.random() < 0.25
    if language == "zh":
        return (
            f"判断关于{thing}的评论属于哪一类，{frame}。" if label else f"{verb}{thing}，{frame}。"
        )
    if label:
        return f"Classify a remark about {thing} by its tone, {frame}."
    return f"{verb} {thing} {frame}."


def _kind(found: re.Match[str], language: str, _draw: np.random.Generator) -> str:
    yes = found[1].startswith(("Classify", "判断"))
    return ("Yes" if yes else "No") if language == "en" else ("是" if yes else "否")


def _input_first(found: re.Match[str], language: str, draw: np.random.Generator) -> str:
    task = found[1].rstrip(".。")
    lines = []
    for n in range(1, int(found[2]) + 1):
        thing = _one(_THINGS[language].split("|"), draw)
        if language == "zh":
            given = "无" if draw.random() < 0.5 else f"关于{thing}的一段话"
            lines += [f"例子 {n}", f"输入：{given}", f"输出：{task}，说到{thing}，人人都有话说。"]
        else:
            given = "none" if draw.random() < 0.5 else f"A note about {thing}."
            said = f"When people {task[:1].lower()}{task[1:]}, {thing} comes to mind."
            lines += [f"Example {n}", f"Input: {given}", f"Output: {said}"]
    return "\n".join(lines)


def _label_first(found: re.Match[str], language: str, draw: np.random.Generator) -> str:
    lines = []
    for n in range(1, int(found[2]) + 1):
        label = _LABELS[language][(n + int(draw.integers(3))) % 3]
        thing = _one(_THINGS[language].split("|"), draw)
        if language == "zh":
            lines += [f"例子 {n}", f"标签：{label}", f"输入：我对{thing}的感觉是{label}的。"]
        else:
            lines += [f"Example {n}", f"Label: {label}", f"Input: I feel {label} about {thing}."]
    return "\n".join(lines)


def _one(some: tuple[str, ...] | list[str], draw: np.random.Generator) -> str:
    return some[int(draw.integers(len(some)))]


_PROMPTS: tuple[tuple[str, str, Callable[[re.Match[str], str, np.random.Generator], str]], ...] = (
    ("en", r"Continue the list with tasks (\d+) to (\d+)", _tasks),
    ("zh", r"请接着写第 (\d+) 到第 (\d+) 个任务", _tasks),
    ("en", r"^Task: ([\s\S]+)\nIs it a classification task\?$", _kind),
    ("zh", r"^任务：([\s\S]+)\n这是分类任务吗？$", _kind),
    ("en", r"^Task: ([\s\S]+)\nWrite (\d+) examples?, with Input and Output", _input_first),
    ("zh", r"^任务：([\s\S]+)\n写 (\d+) 个例子，包括输入和输出", _input_first),
    ("en", r"^Task: ([\s\S]+)\nWrite (\d+) examples?, each with Label", _label_first),
    ("zh", r"^任务：([\s\S]+)\n写 (\d+) 个例子，每个例子包括标签", _label_first),
)
