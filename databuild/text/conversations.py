"""What stands before an answer: the context by which conversations are told apart.

Of a conversation `prompt` is only the last user turn, and "go on" asks another thing in each. Steps
that compare prompts, or the answers to them, therefore compare the context as well.
"""

from __future__ import annotations

import polars as pl


def has_conversations(rows: pl.DataFrame, messages: str | None) -> bool:
    """Whether a table has this column, a list of structs with the texts `role` and `content`.

    Example:
        >>> has_conversations(pl.DataFrame({"messages": ["Hi"]}), "messages")
        False
    """
    dtype = rows.schema.get(messages or "")
    inner = dtype.inner if isinstance(dtype, pl.List) else None
    fields = {f.name: f.dtype for f in inner.fields} if isinstance(inner, pl.Struct) else {}
    return all(fields.get(name) == pl.String for name in ("role", "content"))


def turns_before_answer(messages: str) -> pl.Expr:
    """The turns before the last answer: all of them but a last one of the assistant.

    Example:
        >>> talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
        >>> rows = pl.DataFrame({"messages": [talk, talk[:1], None]})
        >>> rows.select(turns_before_answer("messages").list.len()).to_series().to_list()
        [1, 1, None]
    """
    turns = pl.col(messages)
    is_answered = turns.list.last().struct.field("role") == "assistant"
    n_answers = is_answered.fill_null(value=False).cast(pl.UInt32)
    return turns.list.head(turns.list.len() - n_answers)


def turns_to_last_user(messages: str) -> pl.Expr:
    """The turns up to the last one of the user, as a model is asked them; none without one.

    Example:
        >>> talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
        >>> rows = pl.DataFrame({"messages": [talk, talk[1:], None]})
        >>> rows.select(turns_to_last_user("messages").list.len()).to_series().to_list()
        [1, 0, None]
    """
    roles = pl.col(messages).list.eval(pl.element().struct.field("role").fill_null(""))
    behind = roles.list.reverse().list.eval((pl.element() == "user").arg_max()).list.first()
    n = pl.when(roles.list.contains("user")).then(roles.list.len() - behind).otherwise(0)
    return pl.col(messages).list.head(n)


def context(rows: pl.DataFrame, messages: str | None) -> pl.Expr:
    """The turns before the last answer as one text, in JSON; equal contexts are equal texts.

    Null where the prompt says it all: the table has no conversations, the row has none, or it is
    one user turn and no more.

    Example:
        >>> talk = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
        >>> rows = pl.DataFrame({"prompt": ["Hi"] * 3, "messages": [talk, talk[1:], None]})
        >>> rows.select(context(rows, "messages").str.head(20)).to_series().to_list()
        ['{"turns":[{"role":"s', None, None]
    """
    if messages is None or not has_conversations(rows, messages):
        return pl.lit(None, dtype=pl.String)
    turns = turns_before_answer(messages)
    is_plain = (turns.list.len() == 1) & (turns.list.first().struct.field("role") == "user")
    text = pl.struct(turns.alias("turns")).struct.json_encode()
    return pl.when((turns.list.len() > 0) & ~is_plain).then(text)


def asked(rows: pl.DataFrame, prompt: str, messages: str | None) -> pl.Expr:
    """What was asked, as a value that is equal where the prompt and the turns before it are.

    The prompt itself in a table without conversations.

    Example:
        >>> talk = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
        >>> rows = pl.DataFrame({"prompt": ["Hi", "Hi"], "messages": [talk, None]})
        >>> rows.select(asked(rows, "prompt", "messages")).to_series().n_unique()
        2
    """
    if not has_conversations(rows, messages):
        return pl.col(prompt)
    return pl.struct(prompt, context(rows, messages).alias("before")).struct.json_encode()


def with_context(rows: pl.DataFrame, column: str, messages: str | None) -> pl.Expr:
    r"""The prompt of each row, after the contents of the turns before it where there are any.

    Example:
        >>> talk = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
        >>> rows = pl.DataFrame({"prompt": ["Hi", "Hi"], "messages": [talk, None]})
        >>> rows.select(with_context(rows, "prompt", "messages")).to_series().to_list()
        ['Be kind.\nHi', 'Hi']
    """
    if messages is None or not has_conversations(rows, messages):
        return pl.col(column)
    contents = turns_before_answer(messages).list.eval(pl.element().struct.field("content"))
    has_more = context(rows, messages).is_not_null() & pl.col(column).is_not_null()
    return pl.when(has_more).then(contents.list.drop_nulls().list.join("\n")).otherwise(column)


def with_last_user(messages: str, text: pl.Expr, *, keep_rest: bool) -> pl.Expr:
    """Conversations whose last user turn says something else; unchanged without such a turn.

    Args:
        messages: The column of conversations.
        text: What the turn says now.
        keep_rest: Keep the turns behind it; else they are cut off.

    Example:
        >>> talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
        >>> rows = pl.DataFrame({"messages": [talk], "prompt": ["Ho"]})
        >>> made = with_last_user("messages", pl.col("prompt"), keep_rest=False)
        >>> rows.select(made).item().to_list()
        [{'role': 'user', 'content': 'Ho'}]
    """
    upto = turns_to_last_user(messages)
    turn = upto.list.last().struct.with_fields(content=text)
    made = pl.concat_list(upto.list.head(upto.list.len() - 1), turn)
    if keep_rest:
        made = pl.concat_list(made, pl.col(messages).list.slice(upto.list.len()))
    return pl.when(upto.list.len() > 0).then(made).otherwise(pl.col(messages)).alias(messages)


def with_last_answer(messages: str, text: pl.Expr) -> pl.Expr:
    """Conversations whose last turn says something else, where it is the assistant's.

    Example:
        >>> talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
        >>> rows = pl.DataFrame({"messages": [talk, talk[:1]], "response": ["Hey.", "Hey."]})
        >>> made = rows.select(with_last_answer("messages", pl.col("response"))).to_series()
        >>> made.to_list()[0][-1]["content"], made.list.len().to_list()
        ('Hey.', [2, 1])
    """
    before = turns_before_answer(messages)
    turn = pl.col(messages).list.last().struct.with_fields(content=text)
    is_answered = pl.col(messages).list.len() > before.list.len()
    return (
        pl.when(is_answered)
        .then(pl.concat_list(before, turn))
        .otherwise(pl.col(messages))
        .alias(messages)
    )
