"""Writes problems.jsonl: forty word problems whose answers are worked out here, in two languages.

Every problem is a template of ours, filled with numbers drawn from a fixed seed; its answer is the
template's own formula. Run it again after changing a template: `python make_problems.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

ASK = {
    "en": "{} Work it out step by step and end with: The answer is <number>.",
    "zh": "{}请一步一步地计算，最后写：答案是<数字>。",
}
PER_TEMPLATE = 2
TEMPLATES: tuple[tuple[str, str, str, Callable[[int, int, int], int]], ...] = (
    ("add", "en", "Mia has {a} shells and finds {b} more. How many shells does she have?",
     lambda a, b, _: a + b),
    ("subtract", "en", "A baker makes {c} rolls and sells {b} of them. How many rolls are left?",
     lambda _, b, c: c - b),
    ("multiply", "en", "There are {a} boxes with {b} pencils in each. How many pencils are there?",
     lambda a, b, _: a * b),
    ("divide", "en", "{ab} chairs stand in {a} equal rows. How many chairs are in each row?",
     lambda _, b, __: b),
    ("spend", "en", "Tom has {c} dollars and buys {a} pens for 2 dollars each. How many "
     "dollars does he have left?", lambda a, _, c: c - 2 * a),
    ("two steps", "en", "A farm has {a} hens and {b} ducks. {a} of all the birds fly away. How "
     "many birds remain?", lambda _, b, __: b),
    ("compare", "en", "Ana is {b} years old and her aunt is {c}. How many years older is her aunt?",
     lambda _, b, c: c - b),
    ("time", "en", "A train needs {a} hours for each trip and makes {b} trips. How many hours "
     "does it travel?", lambda a, b, _: a * b),
    ("join", "en", "One jar holds {a} sweets, a second one {b}, a third one {c}. How many sweets "
     "are in all three?", lambda a, b, c: a + b + c),
    ("pages", "en", "A book has {c} pages. Leo reads {a} pages a day for 3 days. How many pages "
     "are still unread?", lambda a, _, c: c - 3 * a),
    ("add", "zh", "小明有{a}本书，又买了{b}本。他现在有多少本书？", lambda a, b, _: a + b),
    ("subtract", "zh", "果园里有{c}个苹果，摘走了{b}个。还剩多少个苹果？", lambda _, b, c: c - b),
    ("multiply", "zh", "每排有{b}把椅子，一共有{a}排。一共有多少把椅子？", lambda a, b, _: a * b),
    ("divide", "zh", "把{ab}颗糖平均分给{a}个孩子，每个孩子分到几颗？", lambda _, b, __: b),
    ("spend", "zh", "妈妈带了{c}元，买了{a}个面包，每个2元。还剩多少元？",
     lambda a, _, c: c - 2 * a),
    ("two steps", "zh", "车上有{c}人，下去{a}人，又上来{b}人。现在车上有多少人？",
     lambda a, b, c: c - a + b),
    ("compare", "zh", "哥哥有{c}张卡片，弟弟有{b}张。哥哥比弟弟多几张？", lambda _, b, c: c - b),
    ("time", "zh", "工人每天修路{a}米，连续修了{b}天。一共修了多少米？", lambda a, b, _: a * b),
    ("join", "zh", "三个班分别有{a}、{b}和{c}名学生。一共有多少名学生？",
     lambda a, b, c: a + b + c),
    ("pages", "zh", "一根绳子长{c}米，剪了3次，每次剪下{a}米。还剩多少米？",
     lambda a, _, c: c - 3 * a),
)  # fmt: skip


def problems() -> list[dict[str, object]]:
    """The problems: a in 2 to 6, b in 3 to 9, c in 20 to 40, no problem twice."""
    draw = np.random.default_rng(2026)
    made = []
    for kind, language, text, formula in TEMPLATES:
        seen: set[str] = set()
        while len(seen) < PER_TEMPLATE:
            a, b, c = (int(draw.integers(*span)) for span in ((2, 7), (3, 10), (20, 41)))
            question = text.format(a=a, b=b, c=c, ab=a * b)
            if question in seen:
                continue
            seen.add(question)
            answer = str(formula(a, b, c))
            made.append({
                "prompt": ASK[language].format(question), "question": question, "gold": answer,
                "kind": kind, "language": language, "about": [],
                "constraints": [{"kind": "answer", "value": answer}],
            })  # fmt: skip
    return made


def main() -> None:
    """Write the file beside this one."""
    lines = (json.dumps(one, ensure_ascii=False) + "\n" for one in problems())
    Path(__file__).with_name("problems.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
