"""The order of the training rows: batches of like length, decided by the seed and the epoch alone.

The library's length-grouped sampler draws from the global generator: a run resumed in its second epoch sees other
batches, and two ranks with dropout see different permutations. Here the order is a pure function of seed and epoch, and
it is cut into *effective* batches, so that it does not depend on how many processes share one, or on accumulation.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


def sorted_order(lengths: np.ndarray) -> np.ndarray:
    """Return the row numbers, the longest rows first, so that a batch too large for memory fails at once."""
    return np.argsort(-lengths.astype(np.int32), kind="stable")


def epoch_order(lengths: np.ndarray, batch_size: int, seed: int, epoch: int, group_by_length: bool) -> np.ndarray:
    """Return all row numbers in the order of one epoch (int32, shape (rows,)).

    `lengths` are whole numbers of any type; the smaller, the less memory the order of many rows takes.
    Grouped: rows are shuffled, sorted by length (equal lengths stay shuffled), cut into batches of `batch_size`, and
    the batches are shuffled. An incomplete batch comes last, since the loader cuts every `batch_size` rows.
    """
    generator = np.random.default_rng((seed, epoch))
    order = np.arange(len(lengths), dtype=np.int32)
    generator.shuffle(order)
    if not group_by_length:
        return order
    order = order[np.argsort(lengths[order], kind="stable")]
    whole, left_over = divmod(len(order), batch_size)
    # Which rows are left over for the incomplete batch is drawn too: it would be the longest ones in every epoch.
    skipped = generator.integers(whole + 1) * batch_size
    order = np.concatenate([order[:skipped], order[skipped + left_over :], order[skipped : skipped + left_over]])
    generator.shuffle(order[: len(order) - left_over].reshape(whole, batch_size))  # in place: order is what it views
    return order


class EpochOrderSampler(Sampler[int]):
    """Yield the rows in `epoch_order`; the Trainer (through accelerate) calls `set_epoch` before every epoch."""

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int, group_by_length: bool) -> None:
        self.lengths, self.batch_size, self.seed, self.group_by_length = lengths, batch_size, seed, group_by_length
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        order = epoch_order(self.lengths, self.batch_size, self.seed, self.epoch, self.group_by_length)
        # One by one: a list of ten million Python integers takes 400 MB.
        return map(int, order)


def padding_share(lengths: np.ndarray, batch_size: int, seed: int) -> tuple[float, float]:
    """Return the share of padding among all positions of an epoch's batches, grouped by length and in random order."""
    shares = []
    for group_by_length in (True, False):
        ordered = lengths[epoch_order(lengths, batch_size, seed, 0, group_by_length)]
        starts = np.arange(0, len(ordered), batch_size)
        sizes = np.diff(np.append(starts, len(ordered)))
        positions = int((np.maximum.reduceat(ordered, starts) * sizes).sum())
        shares.append(1 - int(ordered.sum(dtype=np.int64)) / positions)
    return shares[0], shares[1]
