"""The rotation probe: finds turns that features tell, and none in features that do not."""

import torch

from moco.scores.rotation import rotation_accuracy, turned


def test_the_four_turns_stand_one_behind_the_other():
    x = torch.arange(8.0).view(2, 1, 2, 2)
    t = turned(x)
    assert t.shape == (8, 1, 2, 2)
    assert torch.equal(t[:2], x)
    assert torch.equal(torch.rot90(t[2:4], 3, (2, 3)), x)


def test_features_that_know_the_turn_are_perfect_and_noise_is_at_chance():
    torch.manual_seed(0)
    noise = torch.randn(4 * 500, 20)
    knows = noise.clone()
    knows[:, 0] = torch.arange(4).repeat_interleave(500) * 10.0
    knows[:, 1] = (torch.arange(4).repeat_interleave(500) % 2) * 10.0
    knows[:, 2] = (torch.arange(4).repeat_interleave(500) == 1) * 10.0
    assert rotation_accuracy(knows) > 0.99
    assert abs(rotation_accuracy(noise) - 0.25) < 0.05


def test_it_does_not_depend_on_scale_and_place():
    torch.manual_seed(0)
    x = torch.randn(400, 8) + torch.arange(4).repeat_interleave(100)[:, None] * torch.randn(8)
    assert rotation_accuracy(x) == rotation_accuracy(100 * x + 7)


def test_a_dead_feature_and_more_features_than_images_do_no_harm():
    torch.manual_seed(0)
    x = torch.randn(4 * 20, 200)
    x[:, 3] = 0
    assert 0 <= rotation_accuracy(x) <= 1
