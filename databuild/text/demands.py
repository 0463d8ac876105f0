"""What a prompt demands of its answer and a machine can check, as Polars expressions.

All take a frame's columns `task` and `material`, lower-cased (`text.asking.lowered`), and `text`,
the answer as it is.
"""

from __future__ import annotations

import re

import polars as pl

from databuild.text.tokens import tokens

_B = r"(?-u:\b)"
_N = r"(\d{1,4}|one|two|three|four|five|six|seven|eight|nine|ten|a single)"
_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_VALUES = {word: i for i, word in enumerate(_WORDS, 1)} | {"a single": 1}
_UNIT = r"(words?|characters?|sentences?)"
_MOST = (
    rf"(?:no more than|not more than|less than|fewer than|at most|under|within|up to|maximum of|"
    rf"max(?:imum)?|limit of|not (?:to )?exceed(?:ing)?) {_N} {_UNIT}{_B}",
    rf"{_B}{_N}[ -]{_UNIT} (?:or (?:less|fewer)|max(?:imum)?|limit|at most|or under)",
)
_LEAST = (
    rf"(?:at least|more than|over|minimum of|no less than|no fewer than) {_N} {_UNIT}{_B}",
    rf"{_B}{_N} {_UNIT} (?:or more|minimum|at least)",
)
_ABOUT = (
    rf"{_B}(?:in|of|with|about|around|approximately|roughly|exactly|using|into|to|write|compose|"
    rf"create|generate) (?:just |only |about |around |exactly |approximately )?{_N} "
    rf"(?:\w+ )?{_UNIT}{_B}",
    rf"{_B}{_N}-{_UNIT}(?:-long)? (?:\w+ )?(?:essay|story|article|summary|paragraph|description|"
    r"report|post|review|speech|poem|biography|text|passage|explanation|dialogue|letter|"
    r"advertisement|analysis|plot|answer|response|tweet)",
)
_MOST_ZH = (r"(?:不超过|不多于|少于|最多)(\d{1,4})个?字", r"(\d{1,4})个?字(?:以内|之内|以下)")
_LEAST_ZH = (r"(?:不少于|至少|多于|超过)(\d{1,4})个?字", r"(\d{1,4})个?字以上")
_ABOUT_ZH = (
    r"(?:写|用|约|大约)[^。，]{0,8}?(\d{2,4})个?字",
    r"(\d{2,4})个?字(?:左右|的(?:文章|作文|故事|短文|介绍|总结|摘要|描述))",
)
# The number counts something else: words to be used, a range, items of some length each.
_NOT_ITS_LENGTH = (
    rf"{_B}(?:each|per|every|using (?:the|these|all|any|both|at least|\w+ of)|containing the|"
    rf"following|these|with the|list of|synonyms?|rhym\w+|vocabulary|keywords?|replace|remove|"
    rf"count|combine|from|between|passwords?|titles?|names?|slogan|tagline|or (?:three|four|five)|"
    rf"function|program|regular expression|array|string|select|divide|split|break|separate){_B}"
    r"|\d ?(?:-|–|to) ?\d|每|使用|各"
)
_LENGTH_ASKED = rf"{_B}{_N}[ -](?:\w+ )?{_UNIT}{_B}|\d个?字"
_SENTENCE_END = r"[.!?…][\"'”’)\]]*(?:\s|$)|[。！？]"

_SUMMARY = (
    rf"{_B}(?:summari[sz]e|summary|shorten|condense|abridge|tl;?dr){_B}|总结|概括|摘要|缩写|精简"
)
_NOT_OF_IT = (
    rf"{_B}(?:expand|elaborate|topic|similarit\w+|differences?|about|with examples?|"
    rf"and (?:explain|write|create|discuss|provide|list|suggest|analy[sz]e)|resume|cv|table|"
    rf"bullet){_B}|并"
)
_CHANGE = (
    rf"{_B}(?:rewrite|re-write|reword|rephrase|paraphrase|edit|correct|fix|improve|translate|convert|"
    rf"change|transform|modify|revise|alter|simplify|restate|proofread|rearrange|reorder){_B}"
    r"|改写|翻译|修改|润色|纠正|改为|改成|转换|重写|译成"
)
_MAY_STAY = (
    rf"{_B}(?:if (?:needed|necessary|required|there|any|it|so|not)|palindrome|or not){_B}|如果|若"
)

_SCRIPTS = {
    "chinese|mandarin|cantonese": r"\p{Han}",
    "japanese": r"[\p{Hiragana}\p{Katakana}\p{Han}]",
    "korean": r"\p{Hangul}",
    "russian|ukrainian|bulgarian|serbian": r"\p{Cyrillic}",
    "arabic|persian|farsi|urdu": r"\p{Arabic}",
    "hebrew": r"\p{Hebrew}",
    "greek": r"\p{Greek}",
    "hindi|marathi|nepali|sanskrit": r"\p{Devanagari}",
    "thai": r"\p{Thai}",
    "bengali": r"\p{Bengali}",
    "tamil": r"\p{Tamil}",
}
_SCRIPTS_ZH = {"日语|日文": r"[\p{Hiragana}\p{Katakana}\p{Han}]", "韩语|韩文": r"\p{Hangul}"}
_SCRIPTS_ZH |= {
    "俄语|俄文": r"\p{Cyrillic}",
    "中文|汉语|普通话": r"\p{Han}",
    "英语|英文": r"[A-Za-z]",
}
_OTHER_LANGUAGE = (
    rf"{_B}(?:english|translat\w+|code|python|java\w*|sql|html|css|program|function|script|url|"
    rf"email|title){_B}|英|翻译|译|代码|程序|函数|编程|公式|拼音|外语|法语|德语|语言|单词|缩写|网址|[a-z]{{3,}}"
)
_ASKS_FIGURE = (
    rf"{_B}(?:scores?|ratings?|statistics?|probability|likelihood|odds|valuation|appraise|"
    rf"estimate|predict|price|forecast|rate (?:for|the|this)|percentage|accuracy){_B}"
    r"|评分|打分|概率|估计|估算|统计数据|预测"
)
_SCALE = (
    rf"{_B}(?:scale|out of|stars?|positive|negative|percent of|code|function|formula|what is|"
    rf"define|explain|rates? of){_B}|分制|满分"
)
_EXPLAIN = (
    rf"^\s*(?:please )?(?:explain|describe|discuss|elaborate|justify|argue){_B}"
    r"|^请?(?:解释|描述|讨论|论述|阐述)"
)
_BRIEFLY = (
    rf"{_B}(?:words?|one|brief|briefly|phrase|short|adjectives?|sentence|term|acronym|stands for|"
    rf"symbol|equation|true|false|classify|type|emotion){_B}|一句|简短|词"
)


def demanding(task: pl.Expr, text: pl.Expr) -> dict[str, pl.Expr]:
    """By the name of a check, which rows it can find something in; quick, and never null.

    Example:
        >>> gates = demanding(pl.lit("why does it rain?"), pl.lit("It rains."))
        >>> pl.select(pl.any_horizontal(gates.values())).item()
        False
    """
    has_han = [one.str.contains(r"\p{Han}") for one in (task, text)]
    return {
        "wrong_length": task.str.contains(_LENGTH_ASKED),
        "misses_words": task.str.contains(_WORDS_ASKED),
        "same_as_input": task.str.contains(_CHANGE),
        "longer_summary": task.str.contains(_SUMMARY),
        "wrong_language": task.str.contains(r"translat|译") | (has_han[0] != has_han[1]),
        "invented_figure": task.str.contains(_ASKS_FIGURE),
    }


def _number(text: pl.Expr, pattern: str) -> pl.Expr:
    found = text.str.extract(pattern, 1)
    named = found.replace_strict(_VALUES, default=None, return_dtype=pl.Int64)
    return pl.coalesce(found.cast(pl.Int64, strict=False), named)


def has_wrong_length(task: pl.Expr, text: pl.Expr) -> pl.Expr:
    """The task says how many words, sentences or characters, and the answer is far from it.

    "At most" is broken by more than 1.2 times as many (and two more), "at least" by less than 0.8,
    a plain number ("a 200-word essay", "in two sentences") by less than a half or more than twice
    as many, and by three sentences where one was asked for. Words are tokens (`text.tokens`), in
    Chinese characters; a sentence ends in its mark. Not judged: numbers that count something else
    (each, from ... to, words to be used), and more than one number.

    Example:
        >>> task, text = pl.lit("tell it in 3 words."), pl.lit("It rained all day long in Rome")
        >>> pl.select(has_wrong_length(task, text)).item()
        True
    """
    n_tokens = tokens(text).list.len().cast(pl.Int64)
    n_sentences = text.str.strip_chars().str.count_matches(_SENTENCE_END).cast(pl.Int64)
    n_sentences = pl.max_horizontal(n_sentences, 1)
    n_characters = text.str.len_chars().cast(pl.Int64)
    broken = []
    kinds = (("most", _MOST, _MOST_ZH), ("least", _LEAST, _LEAST_ZH), ("about", _ABOUT, _ABOUT_ZH))
    for kind, patterns, zh in kinds:
        for pattern in patterns:
            unit, asked = task.str.extract(pattern, 2), _number(task, pattern)
            counted = (
                pl.when(unit.str.starts_with("s")).then(n_sentences)
                # A play may have three characters.
                .when(unit.str.starts_with("c") & (asked >= 20)).then(n_characters)
                .when(unit.str.starts_with("w")).then(n_tokens)
            )  # fmt: skip
            broken.append(_breaks(kind, counted, asked).fill_null(value=False))
        broken.extend(
            _breaks(kind, n_tokens, task.str.extract(one, 1).cast(pl.Int64, strict=False))
            .fill_null(value=False) for one in zh
        )  # fmt: skip
    # A plain number may be part of "at most ...", which is judged for itself.
    least, most, about = broken[4:8], broken[:4], broken[8:]
    bounded = pl.any_horizontal(
        task.str.contains(p) for p in (*_MOST, *_LEAST, *_MOST_ZH, *_LEAST_ZH)
    )
    wrong = pl.any_horizontal(*least, *most) | (~bounded & pl.any_horizontal(*about))
    n_numbers = task.str.count_matches(rf"{_B}{_N}[ -](?:\w+ )?{_UNIT}|\d个?字")
    return wrong & (n_numbers == 1) & ~task.str.contains(_NOT_ITS_LENGTH)


def _breaks(kind: str, counted: pl.Expr, asked: pl.Expr) -> pl.Expr:
    if kind == "most":
        return counted > pl.max_horizontal(asked * 1.2, asked + 2)
    if kind == "least":
        return counted < asked * 0.8
    return (counted * 2 < asked) | (counted > pl.max_horizontal(asked * 2, asked + 1))


def is_unchanged(task: pl.Expr, material: pl.Expr, text: pl.Expr) -> pl.Expr:
    """The task asks to change its material (rewrite, correct, translate), and the answer is it.

    White space and outer quotation marks aside; case and marks count, since they may be what was
    to be changed. Material is what comes after the task, or what the task quotes; of 12 characters
    or more. Not where the task leaves it open ("if needed").

    Example:
        >>> task, material = pl.lit("rewrite it."), pl.lit("the rain fell")
        >>> pl.select(is_unchanged(task, material, pl.lit("the rain fell"))).item()
        True
    """
    answer = _bare(text)
    quoted = _bare(task.str.extract(r"[\"“「](.{12,})[\"”」]", 1).fill_null(""))
    given = _bare(material)
    same = ((answer == given) & (given.str.len_chars() >= 12)) | (
        (answer == quoted) & (quoted != "") & (given == "")
    )
    return same & task.str.contains("(?i)" + _CHANGE) & ~task.str.contains("(?i)" + _MAY_STAY)


def _bare(text: pl.Expr) -> pl.Expr:
    return text.str.replace_all(r"\s+", " ").str.strip_chars(" \"'“”「」")


def is_longer_summary(task: pl.Expr, material: pl.Expr, text: pl.Expr) -> pl.Expr:
    """The task asks to summarize or shorten its material, and the answer is longer than that.

    In characters, by a fifth; material of 40 characters or more. What was added was made up.

    Example:
        >>> task = pl.lit("summarize it.")
        >>> material = pl.lit("dogs do bark; cats, in their own way, purr.")
        >>> answer = pl.lit("Dogs, which are mammals that many love, bark, but cats purr.")
        >>> pl.select(is_longer_summary(task, material, answer)).item()
        True
    """
    longer = text.str.len_chars() > 1.2 * material.str.len_chars()
    is_whole = material.str.len_chars() >= 40
    return longer & is_whole & task.str.contains(_SUMMARY) & ~task.str.contains(_NOT_OF_IT)


def is_in_wrong_language(task: pl.Expr, material: pl.Expr, text: pl.Expr) -> pl.Expr:
    """The answer is in another script than the one that is asked for.

    A translation into Chinese, Japanese, Korean, Russian, Arabic, Greek, Hindi ... without a
    letter of that script; a Chinese question (8 Han or more, no word of Latin letters) that is
    answered without one Han, in 20 Latin letters or more, and does not speak of code, formulas or
    other languages; a question without Han that is answered mostly in Han without asking for it.

    Example:
        >>> task, text = pl.lit("translate it into russian."), pl.lit("Good morning")
        >>> pl.select(is_in_wrong_language(task, pl.lit(""), text)).item()
        True
    """
    wrong = [
        task.str.contains(rf"{_B}translat\w+ .*(?:in|into|to) (?:\w+ )?(?:{names}){_B}")
        & ~text.str.contains(script)
        for names, script in _SCRIPTS.items()
    ]
    wrong += [
        task.str.contains(rf"(?:译成|译为|翻译成|翻译为|翻译到)(?:{names})")
        & ~text.str.contains(script)
        for names, script in _SCRIPTS_ZH.items()
    ]
    whole = pl.concat_str(task, material, separator=" ")
    n_han, n_latin = (text.str.count_matches(one) for one in (r"\p{Han}", "[A-Za-z]"))
    asked_han = whole.str.count_matches(r"\p{Han}")
    wrong.append(
        (asked_han >= 8) & (n_han == 0) & (n_latin >= 20) & ~whole.str.contains(_OTHER_LANGUAGE)
    )
    names = "chinese|mandarin|cantonese|japanese|kanji|han|translat\\w+|language"
    asks = whole.str.contains(rf"{_B}(?:{names}){_B}")
    wrong.append((asked_han == 0) & whole.str.contains(r"[a-z]{3}") & (n_han > n_latin) & ~asks)
    return pl.any_horizontal(wrong)


def is_invented_figure(task: pl.Expr, material: pl.Expr, text: pl.Expr) -> pl.Expr:
    """The task asks for a score, price or probability, has no number, and the answer has one.

    Material is given, which has no number either. Not where a scale or the labels are said.

    Example:
        >>> task, text = pl.lit("rate the mood of this letter with a score"), pl.lit("0.7")
        >>> pl.select(is_invented_figure(task, pl.lit("i am well"), text)).item()
        True
    """
    whole = pl.concat_str(task, material, separator=" ")
    return (
        task.str.contains(_ASKS_FIGURE)
        & ~whole.str.contains(r"\d")
        & text.str.contains(r"\d")
        & ~task.str.contains(_SCALE)
        & (material != "")
    )


def asks_to_explain(task: pl.Expr) -> pl.Expr:
    """It begins by asking to explain, describe, discuss, compare ..., and not in a word.

    Example:
        >>> pl.select(asks_to_explain(pl.lit("explain why it rains"))).item()
        True
    """
    return task.str.contains(_EXPLAIN) & ~task.str.contains(_BRIEFLY)


_WORDS_ASKED = (
    rf"{_B}(?:use|uses|using|with|contain|contains|containing|include|includes|including|from) "
    rf"(?:all |both |each )?(?:of )?(?:the |these )?(?:following |given |provided |\w+ )?"
    rf"(?:words?|keywords?|terms?|phrases?){_B}"
)
_LISTED = re.compile(
    r"\b(?:use|uses|using|with|contain|contains|containing|include|includes|including)"
    r" (?:all |both |each )?(?:of )?(?:the |these )?(?:following |given |provided |two |three |"
    r"four |five )?(?:words|keywords|terms|phrases|word|keyword)\b\s*[:：-]?\s*(.*)$"
)
_OTHER_USE = re.compile(
    r"\b(?:without|not|avoid|except|instead|synonyms?|one of|any of|some of|at least|rhym\w*|"
    r"related|opposite|function|program|code|sentiment|count|from the words|definition)\b"
)
_QUOTED = re.compile(r"[\"“]([^\"“”]+)[\"”]")
_SPLIT = re.compile(r"\s*(?:[,;\n/]| and | & )\s*")


def missing_words(task: str, material: str, answer: str) -> list[str]:
    """The words that the answer was to use and does not, in any form that begins alike.

    They stand behind "using the words" and the like, in the task or, where nothing stands there, in
    the material; two to ten, each one word of four letters or more (shorter ones change too much).
    A word counts as used when its beginning is in the answer: all but its last three letters, three
    at least.

    Example:
        >>> missing_words("write a line using the words: rainy, harbour", "", "It rains.")
        ['harbour']
    """
    found = _LISTED.search(task)
    if found is None or _OTHER_USE.search(task):
        return []
    listed = found[1].strip() or material
    quoted = _QUOTED.findall(listed)
    pieces = quoted or [piece for piece in _SPLIT.split(listed) if piece.strip()]
    words = [
        piece.strip(" .,\"'“”‘’[]()*-").removeprefix("and ").strip("\"'“”") for piece in pieces
    ]
    if not 2 <= len(words) <= 10 or not all(word.isalpha() for word in words):
        return []
    lower = answer.lower()
    long = [word for word in words if len(word) >= 4]
    return [word for word in long if word[: max(3, len(word) - 3)] not in lower]
