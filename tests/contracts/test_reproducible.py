"""--machine.reproducible: two runs in processes of their own are equal to the bit, whatever a measurement would say."""

import subprocess
import sys

import numpy as np
import torch

FLAGS = [
    "--steps", "12", "--views", "documents", "--encoder.backbone", "resnet10w8", "--encoder.stem", "half",
    "--image-size", "16", "--batch", "16", "--encoder.norm-group", "8", "--dictionary.size", "32",
    "--machine.device", "cpu", "--machine.reproducible",
]  # fmt: skip


def test_two_separate_runs_are_equal_to_the_bit_and_say_that_they_went_by_rule(digits, tmp_path):
    np.save(tmp_path / "x.npy", digits[0][:64])
    weights = []
    for name in ("one", "other"):
        command = [sys.executable, "-m", "moco", "pretrain", "--data", tmp_path / "x.npy", "--out", tmp_path / name]
        said = subprocess.run([*command, *FLAGS], check=True, capture_output=True, text=True).stdout
        assert "by rule (--machine.reproducible)" in said
        weights.append(torch.load(tmp_path / name / "encoder.pt", weights_only=True)["encoder"])
    one, other = weights
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
