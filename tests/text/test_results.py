from __future__ import annotations

import pytest

from databuild.text.results import wrong_alphabet, wrong_letters, wrong_result


@pytest.mark.parametrize(
    ("task", "material", "answer", "right"),
    [
        ("Find the average.", "3, 4, 8", "6", "5"),
        ("What is the mean of 3, 4 and 8?", "", "6", "5"),
        ("Find the sum of these numbers.", "3; 4; 8", "16", "15"),
        ("Multiply these.", "3, 4", "13", "12"),
        ("Find the median.", "9 1 4", "9", "4"),
        ("Give the largest number.", "[3, 14, 8]", "8", "14"),
        ("Give the smallest number.", "3, 14, 8", "8", "3"),
        ("Compute the expression.", "2^3 + 1", "7", "9"),
        ("Sort in ascending order.", "3, 14, 8", "3, 14, 8", "3, 8, 14"),
        ("Sort in descending order.", "3, 14, 8", "3, 8, 14", "14, 8, 3"),
        ("求以下数字的平均值。", "3, 4, 8", "6", "5"),
    ],
)
def test_wrong_results_are_seen(task, material, answer, right):
    assert wrong_result(task, material, answer) == right
    assert wrong_result(task, material, f"It is {right}.") is None


@pytest.mark.parametrize(
    ("task", "material", "answer"),
    [
        ("Find the average.", "3, 4, 9", "It is about 5.3."),
        ("Find the average.", "3, 4, 8", "five"),
        ("Find the weighted average.", "3, 4, 8", "6"),
        ("Find the sum of the even numbers.", "3, 4, 8", "12"),
        ("Find the sum and the mean.", "3, 4, 8", "1"),
        ("Find the average of the 3 numbers.", "3, 4, 8", "6"),
        ("Find the average.", "Anna has 3, Ben 4", "6"),
        ("Find the sum of $1,200.", "", "7"),
        ("Put these in ascending order, then in descending order.", "3, 14, 8", "3, 14, 8"),
        ("Sort in ascending order.", "3, 14, 8", "3"),
        ("Write a function for the sum.", "3, 4, 8", "6"),
        ("Find the mean. " + "Think. " * 40, "3, 4, 8", "6"),
    ],
)
def test_what_is_not_plain_is_not_judged(task, material, answer):
    assert wrong_result(task, material, answer) is None


@pytest.mark.parametrize(
    ("task", "material", "answer", "right"),
    [
        ("Sort alphabetically.", "rose, bean, leek", "rose, leek, bean", "bean, leek, rose"),
        (
            "Put in alphabetical order.",
            "rose bean leek",
            "1. bean\n2. rose\n3. leek",
            "bean, leek, rose",
        ),
        ("Sort alphabetically.", "Rose, bean", "bean, rose", None),
        ("Sort in reverse alphabetical order.", "bean, rose", "rose, bean", None),
        ("Sort alphabetically.", "rose, bean, leek", "bean, rose", None),
        ("Sort alphabetically.", "a rose, a bean", "a rose, a bean", None),
        ("Sort by size.", "rose, bean", "rose, bean", None),
        ("Sort alphabetically.", "rose", "rose", None),
    ],
)
def test_alphabetical_order(task, material, answer, right):
    assert wrong_alphabet(task, material, answer) == right


@pytest.mark.parametrize(
    ("task", "material", "answer", "right"),
    [
        ("How many words are in the sentence?", "The roses are red.", "It has 5 words.", "4"),
        ("How many words are in the sentence?", "The roses are red.", "It has four words.", None),
        ("Count the letters in the word.", "garden", "7", "6"),
        ("How many characters has this text?", "a rose", "6", None),
        ("How many characters has this text?", "a rose", "5", None),
        ("How many characters has this text?", "a rose", "9", "5"),
        ("Find the number of vowels in 'garden'.", "", "There are 3 vowels.", "2"),
        ("Find the number of consonants.", "rose", "2", None),
        ("How many vowels are there?", "tulip", "Some.", None),
        ("How many words begin with r?", "The roses are red.", "7", None),
        ("Reverse the word.", "garden", "nedrag", None),
        ("Reverse the given string.", "garden", "nerdag", "nedrag"),
        ("Write a function to reverse the string.", "garden", "def f(): ...", None),
        ("How many words are in it?", "玫瑰很红", "5", None),
        ("Reverse the word order.", "the roses", "the roses", None),
    ],
)
def test_letters_and_words_are_counted(task, material, answer, right):
    assert wrong_letters(task, material, answer) == right
