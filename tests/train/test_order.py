from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from databuild.train.order import order_rows

LENGTHS = st.lists(st.integers(1, 500), max_size=200)


@given(LENGTHS, st.integers(1, 16), st.integers(0, 9), st.integers(0, 3))
def test_every_row_comes_once_per_epoch(
    lengths: list[int], batch_size: int, seed: int, epoch: int
) -> None:
    order = order_rows(lengths, batch_size, seed, epoch)
    assert sorted(order) == list(range(len(lengths)))
    assert order == order_rows(lengths, batch_size, seed, epoch)


def test_padding_nearly_goes_and_epochs_differ() -> None:
    lengths = np.random.default_rng(0).integers(20, 200, size=256)

    def padded(order: list[int]) -> float:
        batches = lengths[np.asarray(order)].reshape(-1, 8)
        return float(batches.max(1).sum() * 8 / lengths.sum())

    orders = [order_rows(lengths.tolist(), 8, 1, epoch) for epoch in range(3)]
    assert max(padded(order) for order in orders) < 1.12
    assert padded(list(range(256))) > 1.5
    assert orders[0] != orders[1] != orders[2]
