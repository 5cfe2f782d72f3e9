"""The order of the rows: every row once, batches of like length, a pure function of seed and epoch."""

import numpy as np
import pytest
import torch

from recipe.rows.sampling import EpochOrderSampler, epoch_order, padding_share, sorted_order

LENGTHS = np.random.default_rng(0).integers(9, 40, 1003).astype(np.int32)


@pytest.mark.parametrize("group_by_length", [True, False])
@pytest.mark.parametrize("rows", [0, 1, 7, 8, 9, 1003])
def test_every_row_comes_exactly_once(rows, group_by_length):
    for epoch in range(3):
        order = epoch_order(LENGTHS[:rows], 8, 1, epoch, group_by_length)
        assert sorted(order.tolist()) == list(range(rows))


@pytest.mark.parametrize("group_by_length", [True, False])
def test_seed_and_epoch_alone_decide_the_order(group_by_length):
    def order(seed, epoch):
        return epoch_order(LENGTHS, 8, seed, epoch, group_by_length).tolist()

    torch.manual_seed(1)
    first = order(7, 2)
    torch.manual_seed(2)
    np.random.seed(3)
    assert order(7, 2) == first
    assert order(7, 3) != first and order(8, 2) != first


def test_a_pinned_order():
    lengths = np.array([5, 9, 7, 5, 9, 7, 5], dtype=np.int32)
    # It is part of a run's identity: a resumed run must see what the interrupted one would have seen.
    assert epoch_order(lengths, 2, 3, 0, True).tolist() == [5, 2, 6, 3, 1, 4, 0]
    assert epoch_order(lengths, 2, 3, 0, False).tolist() == [5, 6, 2, 1, 4, 3, 0]


def test_grouped_batches_hold_like_lengths_and_the_incomplete_one_comes_last():
    order = epoch_order(LENGTHS, 8, 0, 0, True)
    whole = LENGTHS[order[: 1003 // 8 * 8]].reshape(-1, 8)
    spread = whole.max(axis=1) - whole.min(axis=1)
    assert spread.mean() < 0.5 and spread.max() <= 2
    assert abs(np.corrcoef(np.arange(len(whole)), whole.mean(axis=1))[0, 1]) < 0.3  # the batches are shuffled


def test_the_rows_of_the_incomplete_batch_change_with_the_epoch():
    rests = {tuple(sorted(epoch_order(LENGTHS, 8, 0, epoch, True)[-3:])) for epoch in range(5)}
    assert len(rests) == 5


def test_rows_of_one_length_meet_others_in_every_epoch():
    batches = [
        {tuple(sorted(batch)) for batch in epoch_order(LENGTHS, 8, 0, epoch, True)[:1000].reshape(-1, 8).tolist()}
        for epoch in range(2)
    ]
    assert len(batches[0] & batches[1]) < 3


def test_the_sampler_follows_the_epoch_and_starts_over():
    sampler = EpochOrderSampler(LENGTHS, 8, seed=4, group_by_length=True)
    assert len(sampler) == 1003
    first = list(sampler)
    assert first == list(sampler) == epoch_order(LENGTHS, 8, 4, 0, True).tolist()
    assert all(type(row) is int for row in first)
    sampler.set_epoch(1)
    assert list(sampler) == epoch_order(LENGTHS, 8, 4, 1, True).tolist() != first


def test_sorted_order_is_longest_first_and_stable():
    assert sorted_order(np.array([3, 5, 5, 4], dtype=np.int32)).tolist() == [1, 2, 3, 0]


def test_padding_share_by_hand():
    # The pinned orders above: grouped 7+7, 5+5, 9+9, 5; at random 7+5, 7+9, 9+5, 5: 8 of 55 places are padding.
    lengths = np.array([5, 9, 7, 5, 9, 7, 5], dtype=np.int32)
    assert padding_share(lengths, 2, seed=3) == (0.0, pytest.approx(8 / 55))
    # An incomplete batch counts with its own rows only: 4, 4 and 2 in one batch of at most 8.
    assert padding_share(np.array([4, 4, 2], dtype=np.int32), 8, seed=0) == (pytest.approx(2 / 12),) * 2
