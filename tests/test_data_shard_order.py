"""The order over shards: each image once, near its neighbours in the shards, the same whoever asks."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from moco.data.shard_order import LANES, WINDOW, ShardOrder, lanes_of


def epoch_of(walk, batch, seed=0, epoch=0):
    images = int(walk.counts.sum())
    return walk(seed, epoch, np.arange(images // batch * batch), batch)


@pytest.mark.parametrize(
    ("counts", "batch"),
    [([5], 2), ([3, 0, 4, 1], 3), ([100] * 7, 32), ([997, 1003, 0, 10, 500] * 8, 48), ([9000] * 5, 100)],
)
def test_no_image_comes_twice_and_less_than_a_batch_is_left_out(counts, batch):
    walk = ShardOrder(np.array(counts))
    for epoch in range(2):
        images = epoch_of(walk, batch, epoch=epoch)
        assert len(np.unique(images)) == len(images) > sum(counts) - batch
        assert images.min() >= 0
        assert images.max() < sum(counts)


def test_a_step_is_the_same_whether_asked_for_alone_in_shares_or_with_all_others():
    walk, batch = ShardOrder(np.array([997, 1003, 10, 500] * 8)), 48
    whole = epoch_of(walk, batch).reshape(-1, batch)
    for step in (0, 7, len(whole) - 1):
        positions = np.arange(step * batch, (step + 1) * batch)
        assert np.array_equal(walk(0, 0, positions, batch), whole[step])
        shares = [pickle.loads(pickle.dumps(walk))(0, 0, share, batch) for share in np.split(positions, 4)]
        assert np.array_equal(np.concatenate(shares), whole[step]), "four processes see what one sees"


def test_epochs_and_seeds_differ():
    walk = ShardOrder(np.array([100] * 40))
    first = epoch_of(walk, 32)
    for other in (epoch_of(walk, 32, epoch=1), epoch_of(walk, 32, seed=1)):
        assert (first == other).mean() < 0.02


def test_a_step_reads_from_no_more_shards_than_lanes_and_their_borders_and_a_stretch_from_few():
    counts = np.full(400, 10_000)
    walk, batch = ShardOrder(counts), 64
    assert lanes_of(batch, len(counts)) == LANES
    steps = np.arange(batch * 200).reshape(200, batch) + 3000 * batch
    shards = walk(0, 0, steps, batch) // 10_000
    assert all(LANES <= len(np.unique(one)) <= 3 * LANES for one in shards)
    assert len(np.unique(shards)) <= 4 * LANES, "windows of 8,192 images lie in two shards or three"


def test_a_share_of_the_processes_needs_its_share_of_the_shards():
    walk, batch = ShardOrder(np.full(160, 100)), 64
    steps = np.arange(16_000 // batch * batch).reshape(-1, batch)
    halves = [set((walk(0, 0, part, batch) // 100).ravel().tolist()) for part in np.split(steps, 2, axis=1)]
    assert len(halves[0] & halves[1]) <= 1, "but for the one on the border"


def test_images_within_a_window_are_shuffled_evenly():
    walk, batch = ShardOrder(np.array([64, 64])), 2
    assert lanes_of(batch, 2) == 1
    counts = np.zeros((128, 128))
    epochs = 600
    for epoch in range(epochs):
        counts[np.arange(128), epoch_of(walk, batch, epoch=epoch)] += 1
    chi_square = ((counts - epochs / 128) ** 2 / (epochs / 128)).sum()
    assert abs(chi_square - 127**2) < 5 * np.sqrt(2 * 127**2)


def test_a_hundred_thousand_shards_take_a_few_numbers_each():
    walk = ShardOrder(np.full(100_000, 10_000))
    positions = np.arange(1024) + 500_000 * 1024
    images = walk(0, 0, positions, 1024)
    assert len(np.unique(images)) == 1024
    shards, ends = walk._line(0, 0)
    assert shards.nbytes + ends.nbytes + walk.counts.nbytes + walk.first.nbytes == 32 * 100_000 + 8
    assert np.array_equal(np.sort(shards), np.arange(100_000))
    assert WINDOW < 10_000
