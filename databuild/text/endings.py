"""Whether a text stops in mid-flight, and the phrases by which an answer gives itself away.

All are Polars expressions; English and Chinese.
"""

from __future__ import annotations

import polars as pl

_B = r"(?-u:\b)"
_CODE = r"(?s)```.*?(?:```|\z)|`[^`\n]+`"
# Words after which no English sentence ends.
_OPEN_WORDS = "the|a|an|of|and|or|to|in|with|for|from|by|at|as|that|which|is|are|was|were|be|your|their|its|his|my|our|such|than|into|because|but|if|when|while|can|will|would|should|has|have"
_NO_END = rf"(?i)(?:[,，、;；]|{_B}(?:{_OPEN_WORDS})|[，、的和与及是在把被])\s*$"
_BARE_END = r"[\p{L}\p{Han}]\s*$"
# A long last line without end mark, after a sentence that has one.
_LONG_LAST_LINE = r"[.!?。！？][\"'”’)\]]?\s[^\n]{60,}$|[。！？][^\n。！？]{25,}$"
_LIST_LINE = r"(?:^|\n)[ \t]*(?:[-*•–|>#]|\(?\d{1,3}[.):、])[^\n]*$"

REFUSAL = (
    "i'm sorry, but i ", "i am sorry, but i ", "i'm sorry, i can", "i am sorry, i can",
    "i'm sorry, but as ", "i apologize, but i ", "i cannot assist", "i can't assist",
    "i cannot help with", "i can't help with", "i cannot fulfill", "i can't fulfill",
    "i cannot provide", "i can't provide", "i cannot comply", "i cannot create", "i can't create",
    "i am unable to", "i'm unable to", "i am not able to", "i'm not able to", "i cannot answer",
    "i can't answer", "i cannot generate", "i can't generate", "i won't be able to", "i must decline",
    "i'm afraid i can", "cannot be fulfilled by", "cannot be completed by", "unable to fulfill",
    "sorry, i can't", "sorry, i cannot", "sorry, but i can", "i'm not comfortable", "not able to assist",
    "this is not possible for", "cannot be answered without", "can't be answered without",
    "is not possible to provide", "not enough information to answer", "对不起，我无法", "抱歉，我无法",
    "很抱歉，我", "抱歉，我不能", "对不起，我不能", "我无法提供", "我无法回答", "我不能提供", "我无法协助",
    "我无法帮助", "无法满足您的", "我无法完成", "作为一个人工智能，我无法",
)  # fmt: skip
AI_TALK = (
    "as an ai", "as a language model", "as a large language model", "i am an ai", "i'm an ai",
    "i'm just an ai", "ai language model", "i am a language model", "i'm a language model",
    "my training data", "my knowledge cutoff", "my last knowledge update", "i was trained by",
    "as of my last update", "i do not have personal", "i don't have personal", "gpt model",
    "trained by openai", "developed by openai", "作为一个ai", "作为ai", "作为一个人工智能", "作为人工智能",
    "作为一个语言模型", "作为语言模型", "我是一个ai", "我是一个人工智能", "我是一个语言模型", "我的训练数据",
    "我的知识截止", "由openai",
)  # fmt: skip
BOILERPLATE = (
    "click here", "subscribe to our", "sign up for our", "all rights reserved", "cookie policy",
    "we use cookies", "accept cookies", "share this article", "share this post", "follow us on",
    "read more:", "read more »", "terms of service", "terms and conditions apply", "skip to content",
    "enable javascript", "advertisement\n", "leave a comment", "leave a reply", "log in to",
    "loading...", "back to top", "related articles", "related posts", "copyright ©", "© 20",
    "powered by wordpress", "this post may contain affiliate", "点击这里", "点击查看", "版权所有",
    "转载请注明", "关注公众号", "扫描二维码", "责任编辑", "阅读原文", "上一篇", "下一篇", "免责声明",
)  # fmt: skip
_PLACEHOLDER = (
    r"(?i)^\s*[<\[({（]*\s*(?:n\s*[/.]\s*a\.?|nan|tbd|to ?do|no\s*-?_?\s*(?:output|input|response|answer)|not applicable|undefined|lorem ipsum\b[\s\S]*|"
    r"(?:output|answer|response|result|input|text)|(?:your|insert|add|enter|write)\b[^\n]{0,40}\bhere|xxx+|-+|\?+|\.+|…+|无输出|无输入|略|此处省略|待补充|暂无)\s*[>\])}）]*\s*[.。:：]?\s*$"
    r"|(?i)^\s*[<\[(]\s*no\s*-?_?\s*(?:output|input)\s*[>\])]"
)
_LABEL = r"(?i)^\s*#{0,4}\s*(?:output|response|answer|assistant|gpt|ai|bot|输出|回答|答案|助手)\s*[:：]"
_DEED = (
    r"(?i)^\s*(?:sure[,!.]? |okay[,!.]? |certainly[,!.]? )?(?:i(?:'ve| have| just| have just)? "
    r"(?:created|made|designed|booked|sent|attached|drawn|built|set|added|ordered|scheduled|uploaded|reserved|generated|edited|rendered)"
    r"|(?:please )?(?:see|find) (?:the )?attached|(?:the|your) (?:alarm|reminder|flight|hotel|meeting|email|file|image|picture|video) (?:has been|was|is now))\b"
)


def is_cut(text: pl.Expr) -> pl.Expr:
    r"""Its end is no end: a comma, a word like "the" or "of", or a long line without end mark.

    A line without end mark counts when it ends in a letter, is no list item, heading or table row,
    and goes on for 60 characters (25 in Chinese) after a sentence that has its mark. A text that
    ends in code is left alone.

    Example:
        >>> texts = pl.Series(["It rains because of the", "It rains.", "rivers, lakes"])
        >>> texts.to_frame("t").select(is_cut(pl.col("t"))).to_series().to_list()
        [True, False, False]
    """
    tail = text.str.strip_chars().str.tail(400)
    words = tail.str.contains(r"\s\S+\s\S+\s|[\p{Han}]{6}")
    stops = words & tail.str.contains(_NO_END)
    bare = (
        tail.str.contains(_BARE_END)
        & tail.str.contains(_LONG_LAST_LINE)
        & ~tail.str.contains(_LIST_LINE)
    )
    return (stops | bare) & ~tail.str.ends_with("`")


def has_open_fence(text: pl.Expr) -> pl.Expr:
    """A code block of three backticks is opened and not closed.

    Example:
        >>> pl.select(has_open_fence(pl.lit("```py x = 1"))).item()
        True
    """
    return text.str.count_matches("```", literal=True) % 2 == 1


def has_open_bracket(text: pl.Expr) -> pl.Expr:
    """The last bracket of a kind opens, within the last 300 characters, outside code.

    Example:
        >>> texts = pl.Series(["Rain (and sun", "a) yes b) no :("])
        >>> texts.to_frame("t").select(has_open_bracket(pl.col("t"))).to_series().to_list()
        [True, False]
    """
    tail = text.str.replace_all(_CODE, "").str.tail(300)
    return tail.str.contains(r"(?:^|[^:;=8\-])\([^()]*[^()\s][^()]*$|（[^（）]*$|【[^【】]*$")


def has_open_quote(text: pl.Expr) -> pl.Expr:
    """The last quotation mark opens and nothing closes it: “, 「, 『, 《, or an odd straight one.

    Example:
        >>> pl.select(has_open_quote(pl.lit('She said: "Rain is'))).item()
        True
    """
    plain = text.str.replace_all(_CODE, "")
    straight = (plain.str.count_matches('"', literal=True) % 2 == 1) & plain.str.contains(
        r'(?:^|[\s(（:：])"[^"\s][^"]*$'
    )
    return straight | plain.str.tail(600).str.contains(r"“[^“”]*$|「[^「」]*$|『[^『』]*$|《[^《》]*$")


def is_refusal(lower: pl.Expr) -> pl.Expr:
    """Its first 200 characters, lower-cased, hold a phrase of `REFUSAL`.

    Example:
        >>> pl.select(is_refusal(pl.lit("i'm sorry, but i can't do that."))).item()
        True
    """
    return _straight(lower.str.head(200)).str.contains_any(list(REFUSAL))


def is_ai_talk(lower: pl.Expr) -> pl.Expr:
    """It speaks of itself as a machine: a phrase of `AI_TALK`.

    Example:
        >>> pl.select(is_ai_talk(pl.lit("as an ai, i have no garden."))).item()
        True
    """
    return _straight(lower).str.contains_any(list(AI_TALK)) & ~lower.str.contains(
        rf"{_B}as an (?:aid|aim|air|aisle|aide|ailing|aiming)"
    )


def is_boilerplate(lower: pl.Expr) -> pl.Expr:
    """It holds two phrases of `BOILERPLATE`, or one and is shorter than 300 characters.

    Example:
        >>> pl.select(is_boilerplate(pl.lit("nice shoes. click here! © 2020 all rights reserved"))).item()
        True
    """
    found = lower.str.extract_many(list(BOILERPLATE)).list.n_unique()
    return (found >= 2) | ((found == 1) & (lower.str.len_chars() < 300))


def is_placeholder(text: pl.Expr) -> pl.Expr:
    """It stands in for an answer: "N/A", "<nooutput>", "[your text here]", "...".

    Example:
        >>> pl.select(is_placeholder(pl.lit("<nooutput>"))).item()
        True
    """
    return text.str.contains(_PLACEHOLDER)


def has_label(text: pl.Expr) -> pl.Expr:
    """It begins with a label of the prompt format: "Output:", "Answer:", "助手：".

    Example:
        >>> pl.select(has_label(pl.lit("Output: 7"))).item()
        True
    """
    return text.str.contains(_LABEL)


def claims_deed(text: pl.Expr) -> pl.Expr:
    """It begins by saying that something was made or done, which a text cannot do.

    Example:
        >>> pl.select(claims_deed(pl.lit("I have booked your flight."))).item()
        True
    """
    return text.str.contains(_DEED)


def _straight(text: pl.Expr) -> pl.Expr:
    return text.str.replace_all("’", "'", literal=True)
