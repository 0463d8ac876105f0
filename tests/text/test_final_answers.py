"""Final answers: where they stand, what they say, which agree, and what most say."""

from __future__ import annotations

import pytest

from databuild.text.final_answers import agree, find_answer, majority, read_value


@pytest.mark.parametrize(
    ("text", "answer", "found"),
    [
        ("4 + 3 = 7\n#### 7", "7", "marker"),
        (r"So we get \boxed{\frac{1}{2}} in all.", r"\frac{1}{2}", "marker"),
        ("First the answer is 3? No. The answer is 4.5 km.", "4.5 km", "marker"),
        ("**Answer:** **12**", "12", "marker"),
        ("一共3 + 4 = 7个。答案是7。", "7", "marker"),
        ("所以答案：七个", "七个", "marker"),
        ("That makes 12 of 30.", "30", "last number"),
        ("It costs -3.50 in all", "-3.50", "last number"),
        ("The answer is", None, ""),
        ("no idea", None, ""),
        ("", None, ""),
        ("🌈", None, ""),
    ],
)
def test_the_final_answer_is_found(text: str, answer: str | None, found: str) -> None:
    parted = find_answer(text)
    assert (parted[1:] if parted else None) == ((answer, found) if answer else None)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("42", "42.0"), ("1,250", "1250"), ("1/2", "0.5"), ("1 1/2", "1.5"), ("$5", "5 dollars"),
        ("5", "$5"), ("50%", "50 percent"), (r"\frac{3}{4}", "0.75"), ("３千米", "3 km"), ("¥8", "8元"),
        ("−4", "-4"), ("(B)", "b"), ("B", "B) the hat"), ("Option C", "C"), ("The Nile.", "nile"),
        ("  New  York ", "new york"), (r"$\boxed{7}$", "7"), ("2.667", "8/3"), ("苹果。", "苹果"),
    ],
)  # fmt: skip
def test_these_agree(one: str, other: str) -> None:
    right = read_value(one)
    assert agree(read_value(other, right), right), (right, read_value(other, right))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("42", "41"), ("42", "420"), ("4", "-4"), ("5 km", "5 m"), ("$5", "5 euros"), ("A", "B"),
        ("3", "3.3"), ("0.3", "1/3"), ("Nile", "the Amazon"), ("7", "seven of them"), ("7", ""),
        ("B", "it is a hat"), ("12", "1 2"), ("2.67", "2.66"),
    ],
)  # fmt: skip
def test_these_do_not(one: str, other: str) -> None:
    right = read_value(one)
    assert right is not None
    assert not agree(read_value(other, right), right)


def test_a_word_that_begins_with_a_letter_is_no_choice() -> None:
    kinds = {text: read_value(text) for text in ("A dog", "A", "A.", "(D) none", "apple", "I")}
    found = {text: value.kind if value else None for text, value in kinds.items()}
    assert found == {
        "A dog": "text", "A": "choice", "A.": "choice", "(D) none": "choice", "apple": "text",
        "I": "text",
    }  # fmt: skip


def test_a_long_text_with_one_number_is_a_text() -> None:
    long = "In 1969 two people walked about on the moon for the very first time."
    value = read_value(long)
    assert value is not None
    assert value.kind == "text"


@pytest.mark.parametrize(
    "text", ["", "  ", "...", "**", "🌈🌈", "\u200b", "a" * 50_000, "1/0", "1e999"]
)
def test_odd_texts_are_read_without_an_error(text: str) -> None:
    value = read_value(text)
    assert agree(value, value) is (value is not None)


def test_the_majority() -> None:
    def most(*texts: str) -> tuple[str, float] | None:
        found = majority([read_value(text) for text in texts])
        return found and (str(found[0]), found[1])

    assert most("12", "12.0", "13") == ("12", 2 / 3)
    assert most("12", "13") is None
    assert most("12", "12", "13", "13") is None
    assert most("", "...", "7") == ("7", 1 / 3)  # unread ones count among all
    assert most("12 km", "12", "12 m", "12 m") == ("12 m", 0.75)
    assert most("", "") is None
    assert most() is None
