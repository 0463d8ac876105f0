"""Chunks are exact spans, cover the document, and follow its structure."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from databuild.text.blocks import blocks
from databuild.text.borders import WORD, sentence_ends
from databuild.text.chunks import cut_into_chunks

MARKS = ["# ", "## A\n", "\n\n", "\n", "- x\n", "| a | b |\n", "```\n", "第三回 出山\n", "Chapter 2\n",
         "One. ", "他来了。", "===\n", "---\n", "  1. y\n", "\r\n", "\u3000", "🙂", "word ", "，", "\x1c"]  # fmt: skip
TEXTS = st.lists(st.sampled_from(MARKS) | st.text(max_size=12), max_size=40).map("".join)
GUIDE = """# Kiln

Fire it slowly. Wait a day.

## Steps

1. Load the shelves.
2. Close the door.

   Use both latches.

| cone | degrees |
|------|---------|
| 06   | 999     |

```text
# no heading here

heat 999
```

Setext
------
Done.
"""


def words(text: str) -> int:
    return len(WORD.findall(text))


@given(TEXTS, st.integers(1, 12), st.integers(0, 8), st.integers(0, 6))
@example("# " + "a " * 9 + "\n\nb", 3, 0, 0)
@example("x", 1, 0, 0)
def test_chunks_cover_every_character_that_is_not_blank(text, target, more, overlap):
    overlap = min(overlap, target - 1)
    chunks = cut_into_chunks(text, target=target, longest=target + more, overlap=overlap)
    covered = [0] * len(text)
    for chunk in chunks:
        inside = text[chunk.start : chunk.end]
        assert inside
        assert inside == inside.strip()
        for at in range(chunk.start, chunk.end):
            covered[at] += 1
    assert all(n >= 1 for n, letter in zip(covered, text, strict=True) if not letter.isspace())
    assert all(a.start < b.start and a.end < b.end for a, b in pairwise(chunks))
    if overlap == 0:
        assert max(covered, default=0) <= 1


@given(TEXTS, st.integers(1, 12), st.integers(0, 8), st.integers(0, 6))
def test_a_chunk_is_never_longer_than_it_may_be(text, target, more, overlap):
    overlap = min(overlap, target - 1)
    for chunk in cut_into_chunks(text, target=target, longest=target + more, overlap=overlap):
        begun = [w for w in WORD.finditer(text) if chunk.start <= w.start() < chunk.end]
        assert len(begun) <= target + more + overlap


@given(TEXTS)
def test_blocks_are_in_order_and_hold_every_character_that_is_not_blank(text):
    end = 0
    for block in blocks(text):
        assert not text[end : block.start].strip()
        assert block.start < block.end
        end = block.end
    assert not text[end:].strip()


def test_the_blocks_of_a_guide():
    found = [(b.kind, b.level, GUIDE[b.start : b.end].partition("\n")[0]) for b in blocks(GUIDE)]
    assert found == [
        ("heading", 1, "# Kiln"),
        ("paragraph", 0, "Fire it slowly. Wait a day."),
        ("heading", 2, "## Steps"),
        ("list", 0, "1. Load the shelves."),
        ("table", 0, "| cone | degrees |"),
        ("code", 0, "```text"),
        ("heading", 2, "Setext"),
        ("paragraph", 0, "Done."),
    ]
    assert "Use both latches." in GUIDE[blocks(GUIDE)[3].start : blocks(GUIDE)[3].end]


@pytest.mark.parametrize(
    ("line", "level", "title"),
    [
        ("## Two ##", 2, "Two"), ("# C#", 1, "C#"), ("#", 1, ""), ("Chapter 3", 2, "Chapter 3"),
        ("PART II. The sea", 1, "PART II. The sea"), ("第十二回　山中", 2, "第十二回　山中"),
        ("第一卷", 1, "第一卷"),
    ],
)  # fmt: skip
def test_headings_of_markdown_and_of_books(line, level, title):
    (block,) = blocks(line)
    assert (block.kind, block.level, block.title) == ("heading", level, title)


@pytest.mark.parametrize(
    "line",
    ["#no", "####### 7", "Chapter two hundred people came to the village and none of them left it again",
     "Section A of the wall", "第一章的内容", "partly 3", "    # code"],
)  # fmt: skip
def test_lines_that_are_no_headings(line):
    assert [block.kind for block in blocks(line)] == ["paragraph"]


def test_headings_begin_chunks_and_a_small_section_is_not_left_alone():
    text = "# A\n\n" + "one two three. " * 3 + "\n\n## B\n\nx\n\n## C\n\n" + "four five. " * 4
    found = cut_into_chunks(text, target=20, longest=20)
    assert [(c.headings, text[c.start : c.end].partition("\n")[0]) for c in found] == [
        (("A",), "# A"), (("A", "B"), "## B"),
    ]  # fmt: skip
    assert "## C" in text[found[1].start : found[1].end]  # B has 3 words, less than 20 / 4


def test_a_heading_goes_with_the_text_under_it():
    text = "Zero one two three four five.\n\n# Head\n\nsix seven eight nine ten."
    found = cut_into_chunks(text, target=9, longest=12)
    assert [text[c.start : c.end].partition("\n")[0] for c in found][1] == "# Head"
    assert text[found[0].start : found[0].end].endswith("five.")


@pytest.mark.parametrize("block", ["- a b c d\n- e f g h\n- i j k l", "| a b |\n| c d |\n| e f |",
                                   "```\na b c\n\nd e f\n```"])  # fmt: skip
def test_lists_tables_and_code_stay_whole_where_they_fit(block):
    text = f"Some words come first here.\n\n{block}\n\nAnd some come after it."
    found = [text[c.start : c.end] for c in cut_into_chunks(text, target=8, longest=20)]
    assert sum(block in one for one in found) == 1
    found = [text[c.start : c.end] for c in cut_into_chunks(text, target=5, longest=6)]
    assert not any(block in one for one in found)
    assert all(any(line in one for one in found) for line in block.split("\n"))


def test_a_long_paragraph_is_cut_after_sentences_and_overlaps_by_whole_ones():
    text = "Ann ran home. Bo slept in. Cy ate soup. Di sang well."
    assert [text[c.start : c.end] for c in cut_into_chunks(text, target=8, longest=8)] == [
        "Ann ran home. Bo slept in.", "Cy ate soup. Di sang well.",
    ]  # fmt: skip
    found = cut_into_chunks(text, target=8, longest=8, overlap=5)
    assert [text[c.start : c.end] for c in found][1] == "Bo slept in. Cy ate soup. Di sang well."


def test_chinese_is_cut_after_sentences_and_each_character_counts():
    text = "山上有一座庙。庙里有个老和尚！他说：“你好。”后来呢？"
    found = [text[c.start : c.end] for c in cut_into_chunks(text, target=9, longest=9)]
    assert found == ["山上有一座庙。", "庙里有个老和尚！", "他说：“你好。”", "后来呢？"]


def test_abbreviations_initials_and_numbers_end_no_sentence():
    text = "Dr. J. Kim paid 3.5 million, e.g. in gold. It was approx. half! Why?"
    ends = list(sentence_ends(text, 0, len(text)))
    assert [text[:at].rsplit(" ", 1)[-1] for at in ends] == ["gold.", "half!"]


@pytest.mark.parametrize("text", [
    "." * 100_000, "# " + " " * 100_000 + "x", "a" * 100_000, "\n" * 100_000, "| " * 30_000,
    "🙂" * 50_000, "- " * 30_000, "。" * 50_000, '."' * 50_000, "```\n" * 10_000,
    "- a\n\n\n" * 10_000, "- a\n" + "\n" * 50_000, "# h\n" * 10_000,
])  # fmt: skip
def test_hostile_texts_take_linear_time(text):
    begun = time.process_time()
    found = cut_into_chunks(text)
    assert time.process_time() - begun < 5  # quadratic would take minutes
    assert all(len(WORD.findall(text[c.start : c.end])) <= 401 for c in found)


def test_the_same_whatever_stands_for_a_line_end():
    found = cut_into_chunks(GUIDE.replace("\n", "\r\n"), target=10, longest=30)
    expected = cut_into_chunks(GUIDE, target=10, longest=30)
    assert [c.headings for c in found] == [c.headings for c in expected]


def test_long_books_are_cut_along_their_chapters(shared_data):
    text = (shared_data / "long_docs/great_gatsby.txt").read_text("utf-8")
    found = cut_into_chunks(text)
    sizes = [words(text[c.start : c.end]) for c in found]
    assert 120 < sum(sizes) / len(sizes) <= 200
    story = (shared_data / "long_docs/xiyouji_part.txt").read_text("utf-8")
    assert len({c.headings for c in cut_into_chunks(story)}) > 15
