"""Other tools on the bench's corpus: each in a fresh process, in an environment of its own.

    <peers' python> tests/bench/dedup_peers.py TOOL ROWS.parquet OUT.parquet SCRATCH [THRESHOLD]

Writes the `id` of every row that the tool keeps. Nothing of databuild is imported. The tools that
take sets of shingles get the canonical ones, cut in Python as their users do; those that cut for
themselves get the texts. Where a tool keeps the first of its duplicates, first is the row order.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator

PERMUTATIONS = 128
_UNSPACED = "一-鿿㐀-䶿\U00020000-\U0003ffff豈-﫿々〆〇぀-ヿ฀-໿က-႟ក-៿"
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
BATCH = 10_000

Texts = list[str]


def shingles(text: str) -> set[str]:
    """The canonical 3-grams of a text; of a shorter one its tokens, or the text itself."""
    words = _TOKEN.findall(unicodedata.normalize("NFKC", text).lower())
    if len(words) <= 3:
        return {" ".join(words) or text.strip()}
    return set(map(" ".join, zip(words, words[1:], words[2:], strict=False)))


def encoded(texts: Texts) -> Iterator[list[bytes]]:
    for text in texts:
        yield [gram.encode() for gram in shingles(text)]


def rensa(texts: Texts, threshold: float, scratch: Path) -> list[int]:
    """rensa's greedy deduplicator, in batches so that the shingles need not all stand in memory."""
    from rensa import RMinHashDeduplicator  # type: ignore[import-not-found,unused-ignore]

    del scratch
    seen = RMinHashDeduplicator(threshold, PERMUTATIONS, use_lsh=True)
    kept: list[int] = []
    for start in range(0, len(texts), BATCH):
        pairs = [
            (str(i), list(shingles(text)))
            for i, text in enumerate(texts[start : start + BATCH], start)
        ]
        added = seen.add_pairs(pairs)
        kept.extend(start + i for i, is_new in enumerate(added) if is_new)
    return kept


def datasketch_bulk(texts: Texts, threshold: float, scratch: Path) -> list[int]:
    """datasketch's bulk construction, its LSH at the threshold, the first of each is kept."""
    from datasketch import MinHash, MinHashLSH

    del scratch
    index = MinHashLSH(threshold, PERMUTATIONS)
    kept: list[int] = []
    for start in range(0, len(texts), BATCH):
        part = texts[start : start + BATCH]
        for i, sketch in enumerate(MinHash.bulk(encoded(part), num_perm=PERMUTATIONS), start):
            if not index.query(sketch):
                index.insert(i, sketch, check_duplication=False)
                kept.append(i)
    return kept


def datasketch_verified(texts: Texts, threshold: float, scratch: Path) -> list[int]:
    """datasketch at its best: a fast hash, 32 bands of 4, every candidate compared exactly."""
    from datasketch import MinHash, MinHashLSH
    from xxhash import xxh32_intdigest

    del scratch
    index = MinHashLSH(num_perm=PERMUTATIONS, params=(32, 4))
    kept: dict[int, set[bytes]] = {}
    for start in range(0, len(texts), BATCH):
        part = list(encoded(texts[start : start + BATCH]))
        sketches = MinHash.bulk(part, num_perm=PERMUTATIONS, hashfunc=xxh32_intdigest)
        for i, (grams, sketch) in enumerate(zip(part, sketches, strict=True), start):
            own = set(grams)
            near = (kept[other] for other in index.query(sketch))
            if not any(len(own & o) >= threshold * len(own | o) for o in near):
                index.insert(i, sketch, check_duplication=False)
                kept[i] = own
    return list(kept)


def datasketch_loop(texts: Texts, threshold: float, scratch: Path) -> list[int]:
    """datasketch as its documentation shows it: one update per shingle."""
    from datasketch import MinHash, MinHashLSH

    del scratch
    index = MinHashLSH(threshold, PERMUTATIONS)
    kept: list[int] = []
    for i, grams in enumerate(encoded(texts)):
        sketch = MinHash(num_perm=PERMUTATIONS)
        for gram in grams:
            sketch.update(gram)
        if not index.query(sketch):
            index.insert(i, sketch)
            kept.append(i)
    return kept


def text_dedup(texts: Texts, threshold: float, scratch: Path) -> list[int]:
    """text-dedup's MinHash with 3-grams, its default minimal length, false positives checked."""
    from datasets import load_from_disk
    from text_dedup.config.base import (  # type: ignore[import-not-found,unused-ignore]
        load_config_from_toml,
    )
    from text_dedup.minhash import main  # type: ignore[import-not-found,unused-ignore]

    rows = scratch / "rows.parquet"
    pq.write_table(pa.table({"number": list(range(len(texts))), "text": texts}), rows)
    settings = scratch / "config.toml"
    settings.write_text(
        f"""
[input]
input_type = "local_files"
file_type = "parquet"
read_arguments = {{ path = "parquet", data_files = "{rows}", split = "train" }}
[algorithm]
algorithm_name = "minhash"
text_column = "text"
num_perm = {PERMUTATIONS}
ngram_size = 3
threshold = {threshold}
check_false_positive = true
num_proc = 1
[output]
output_dir = "{scratch / "out"}"
[debug]
""",
        encoding="utf-8",
    )
    config = load_config_from_toml(settings)
    main(config)
    return list(load_from_disk(str(scratch / "out"))["number"])


def datatrove(texts: Texts, threshold: float, scratch: Path) -> list[int]:
    """datatrove's four stages on one worker, 3-grams, its own word tokeniser, 14 bands of 9."""
    from datatrove.data import Document
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )
    from datatrove.pipeline.dedup.minhash import MinhashConfig

    del threshold  # 14 bands of 9 are what datasketch takes for .7
    config = MinhashConfig(n_grams=3, num_buckets=14, hashes_per_bucket=9)
    signatures, buckets, removed = (str(scratch / part) for part in ("sigs", "buckets", "removed"))

    def documents() -> Iterator[Any]:
        return (Document(text=text, id=str(i)) for i, text in enumerate(texts))

    for _ in MinhashDedupSignature(signatures, config).run(documents(), 0, 1) or ():
        pass
    for bucket in range(config.num_buckets):
        for _ in (
            MinhashDedupBuckets(signatures, buckets, config=config).run(
                None, bucket, config.num_buckets
            )
            or ()
        ):
            pass
    for _ in MinhashDedupCluster(buckets, removed, config=config).run(None, 0, 1) or ():
        pass
    return [int(kept.id) for kept in MinhashDedupFilter(removed).run(documents(), 0, 1)]


def data_juicer(texts: Texts, threshold: float, scratch: Path) -> list[int]:
    """data-juicer's document_minhash_deduplicator with what it does by default."""
    from data_juicer.core.data import (  # type: ignore[import-not-found,unused-ignore]
        NestedDataset,
    )
    from data_juicer.ops.deduplicator.document_minhash_deduplicator import (  # type: ignore[import-not-found,unused-ignore]
        DocumentMinhashDeduplicator,
    )
    from datasets import Dataset

    del scratch
    rows = NestedDataset(Dataset.from_dict({"number": list(range(len(texts))), "text": texts}))
    operator = DocumentMinhashDeduplicator(jaccard_threshold=threshold, num_permutations=128)
    hashed = rows.map(operator.compute_hash, num_proc=1)
    kept, _ = operator.process(hashed)
    return list(kept["number"])


TOOLS: dict[str, Any] = {
    tool.__name__: tool
    for tool in (
        rensa,
        datasketch_bulk,
        datasketch_verified,
        datasketch_loop,
        text_dedup,
        datatrove,
        data_juicer,
    )
}


def main(tool: str, rows: Path, out: Path, scratch: Path, threshold: float) -> None:
    table = pq.read_table(rows, columns=["id", "text"])
    texts = table["text"].to_pylist()
    kept = TOOLS[tool](texts, threshold, scratch)
    pq.write_table(table.select(["id"]).take(pa.array(kept, pa.int64())), out)


if __name__ == "__main__":  # text-dedup starts processes even where it needs one
    rows_path, out_path, scratch_path = map(Path, sys.argv[2:5])
    limit = float((*sys.argv[5:], "0.7")[0])
    main(sys.argv[1], rows_path, out_path, scratch_path, limit)
