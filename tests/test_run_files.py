"""Files that are whole or not there, tensors read without running code, and an encoder in two lines."""

import errno
import os
import pickle

import pytest
import torch

from moco.encoder import build_encoder
from moco.errors import MocoError
from moco.recipe import override, v2
from moco.run.atomic import copy_atomically, trouble_is_told, write_atomically, write_text
from moco.run.encoder_file import read_encoder, save_encoder
from moco.run.load import load
from moco.run.tensors import read_tensors, write_tensors

RECIPE = override(
    v2(), {"encoder.backbone": "resnet10w8", "encoder.stem": "small", "encoder.dim": 16, "image_size": 16}
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "x.txt"
    write_text(path, "old")

    def fail(file):
        file.write(b"half of the new")
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(MocoError, match="no space left"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "make room"),
        (errno.EDQUOT, "make room in your quota"),
        (errno.EACCES, "allow writing there"),
        (errno.EROFS, "make the disk writable"),
        (errno.ENOENT, "was the folder removed"),
        (errno.EIO, "look after the disk"),
    ],
)
def test_each_trouble_with_a_disk_has_its_own_advice(tmp_path, code, advice):
    with pytest.raises(MocoError) as said, trouble_is_told(tmp_path / "x"):
        raise OSError(code, os.strerror(code))
    assert os.strerror(code).lower() in str(said.value)
    assert advice in str(said.value)
    assert ("make room" in str(said.value)) == (code in (errno.ENOSPC, errno.EDQUOT))


def test_a_copy_is_a_file_of_its_own(tmp_path):
    (tmp_path / "last.pt").write_bytes(b"1")
    copy_atomically(tmp_path / "last.pt", tmp_path / "epoch.pt")
    (tmp_path / "last.pt").write_bytes(b"2")
    assert (tmp_path / "epoch.pt").read_bytes() == b"1"


def test_tensors_come_back_as_they_were(tmp_path):
    content = {"step": 3, "x": {"y": torch.arange(5), "z": [1.5, None, "a"]}}
    write_tensors(tmp_path / "a.pt", content)
    found = read_tensors(tmp_path / "a.pt")
    assert found["x"]["y"].tolist() == [0, 1, 2, 3, 4]
    assert (found["step"], found["x"]["z"]) == (3, [1.5, None, "a"])


class Evil:
    def __reduce__(self):
        return (os.getpid, ())


def test_a_file_that_would_run_code_is_not_opened_and_nobody_is_told_how_to(tmp_path):
    torch.save({"x": Evil()}, tmp_path / "evil.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"x": Evil()}))
    for name in ("evil.pt", "plain.pt"):
        with pytest.raises(MocoError) as said:
            read_tensors(tmp_path / name)
        assert "weights_only" not in str(said.value)
        assert name in str(said.value)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\3\4 cut"])
def test_a_damaged_file_of_tensors_is_a_sentence(tmp_path, content):
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(MocoError, match=r"a.pt is damaged"):
        read_tensors(tmp_path / "a.pt")


def test_a_missing_file_and_other_content_are_sentences(tmp_path):
    with pytest.raises(MocoError, match="there is no file"):
        read_tensors(tmp_path / "a.pt")
    torch.save([1], tmp_path / "a.pt")
    with pytest.raises(MocoError, match="holds a list"):
        read_tensors(tmp_path / "a.pt")


@pytest.fixture
def encoder_file(tmp_path):
    torch.manual_seed(0)
    encoder = build_encoder(RECIPE.encoder)[0].eval()
    save_encoder(tmp_path / "encoder.pt", encoder, RECIPE, 7)
    return encoder, tmp_path / "encoder.pt"


def test_an_encoder_computes_the_same_after_it_was_read_and_no_generator_moves(encoder_file):
    encoder, path = encoder_file
    rng = torch.get_rng_state()
    found, recipe, step = read_encoder(path)
    assert torch.equal(torch.get_rng_state(), rng)
    assert (recipe, step, found.training) == (RECIPE, 7, False)
    x = torch.randn(4, 3, 16, 16)
    torch.testing.assert_close(found(x), encoder(x))


def test_load_gives_the_backbone_or_with_head_the_whole(encoder_file):
    _, path = encoder_file
    backbone, preprocess = load(path)
    assert backbone(torch.zeros(2, 3, 16, 16)).shape == (2, 64)
    assert preprocess.size == 16
    assert load(str(path), features="head")[0](torch.zeros(2, 3, 16, 16)).shape == (2, 16)


@pytest.mark.parametrize("spoil", ["recipe", "encoder", "step", "weights"])
def test_an_encoder_file_with_parts_missing_is_a_sentence(encoder_file, spoil):
    _, path = encoder_file
    content = torch.load(path, weights_only=True)
    if spoil == "weights":
        content["encoder"].pop(next(iter(content["encoder"])))
    else:
        del content[spoil]
    torch.save(content, path)
    with pytest.raises(MocoError, match=r"encoder.pt is damaged"):
        load(path)


def test_another_file_of_tensors_is_no_encoder(tmp_path):
    write_tensors(tmp_path / "a.pt", {"x": 1})
    with pytest.raises(MocoError, match="holds no tensors"):
        load(tmp_path / "a.pt")
