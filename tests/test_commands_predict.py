"""`moco predict` and `moco.load_transfer`: what a fine-tuned model finds, as files and in Python."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from test_commands_transfer import CPU, Heard, run, small
from transfer_data import make_coco, make_masks

import moco
from moco.commands.predict import predict
from moco.errors import MocoError
from moco.transfer.recipe import Regions


class Told(Heard):
    def reading(self, what, total):
        return lambda done: None


def anything(task, data, out):
    """A model that is hardly trained, and tells of everything it sees."""
    recipe = small(task)
    if isinstance(recipe.parts, Regions):
        recipe = replace(recipe, parts=replace(recipe.parts, least_score=0.01, most_found=5))
    return run(replace(recipe, schedule=replace(recipe.schedule, steps=2)), data, out, looks=1)


@pytest.mark.parametrize("task", ["detect-coco", "keypoints"])
def test_what_is_found_is_cocos_json(tmp_path, task):
    data = make_coco(tmp_path / "data")
    out = anything(task, data, tmp_path / "out")
    told = Told()
    folder = predict(out, data / "val", tmp_path / "found", least=0.0, machine=CPU, tell=told)
    content = json.loads((folder / "found.json").read_text())
    assert [one["file_name"].rsplit("/")[-1] for one in content["images"]] == ["10.png", "11.png", "8.png", "9.png"]
    assert [one["name"] for one in content["categories"]] == ["square", "disc"]
    assert content["annotations"]
    for one in content["annotations"]:
        x, y, w, h = one["bbox"]
        assert 0 <= x < x + w <= 64.01
        assert 0 <= y < y + h <= 64.01
        assert 0 < one["score"] <= 1
        if task == "keypoints":
            assert len(one["keypoints"]) == 6
        else:
            assert one["segmentation"]["size"] == [64, 64]
    assert len(list((folder / "drawn").glob("*.png"))) == 4
    assert "things in 4 images" in told.notes[-1]


def test_a_semantic_task_writes_masks_of_the_images_size(tmp_path):
    data = make_masks(tmp_path / "data")
    out = anything("segment", data, tmp_path / "out")
    (tmp_path / "new").mkdir()
    Image.new("RGB", (50, 30)).save(tmp_path / "new" / "a.png")
    (tmp_path / "new" / "b.png").write_bytes(b"")
    told = Told()
    folder = predict(out, tmp_path / "new", tmp_path / "found", machine=CPU, tell=told)
    (mask,) = (folder / "masks").iterdir()
    with Image.open(mask) as written:
        assert written.size == (50, 30)
        assert np.asarray(written).max() < 3
    assert any("b.png cannot be read" in note for note in told.notes)


def test_the_model_in_python_finds_the_same_as_on_disk(tmp_path):
    data = make_coco(tmp_path / "data")
    out = anything("detect-coco", data, tmp_path / "out")
    predictor = moco.load_transfer(out)
    assert predictor.classes == ("square", "disc")
    assert predictor.task == "detect-coco"
    with Image.open(data / "val" / "8.png") as image:
        found = predictor(image)
        again = predictor(np.asarray(image))
    assert np.array_equal(found.boxes, again.boxes)
    assert len(found.boxes) == 5
    assert (np.diff(found.scores) <= 0).all()
    assert isinstance(predictor.model, torch.nn.Module)


def test_what_is_no_model_is_said(tmp_path):
    with pytest.raises(MocoError, match="is no run of moco transfer"):
        moco.load_transfer(tmp_path)
    torch.save({"state_dict": {}}, tmp_path / "model.pt")
    with pytest.raises(MocoError, match="is no fine-tuned model"):
        moco.load_transfer(tmp_path)
    for name in ("a", "b"):
        (tmp_path / "all" / name).mkdir(parents=True)
        (tmp_path / "all" / name / "model.pt").touch()
    with pytest.raises(MocoError, match=r"holds several models; name one: .*all/a, .*all/b"):
        moco.load_transfer(tmp_path / "all")
    with pytest.raises(MocoError, match="--least 7"):
        predict(tmp_path, tmp_path, tmp_path / "out", least=7)
