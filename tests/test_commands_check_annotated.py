"""`moco check --task` reads annotations, images and masks, and says what a run would say."""

import subprocess
import sys

from PIL import Image
from transfer_data import make_coco, make_masks, make_voc

from moco.commands.check_annotated import check_annotated


def test_sound_data_are_two_lines(tmp_path):
    for task, make in (("detect-coco", make_coco), ("segment", make_masks), ("detect-voc", make_voc)):
        lines, too_many = check_annotated(task, make(tmp_path / task))
        assert len(lines) == 2
        assert not too_many
        assert "8 images" in lines[0]
        assert "4 images" in lines[1]


def test_images_and_masks_are_read_too(tmp_path):
    data = make_masks(tmp_path / "masks")
    (data / "images/train/2.png").write_bytes((data / "images/train/2.png").read_bytes()[:200])
    lines, too_many = check_annotated("segment", data)
    assert too_many
    assert any("2.png: truncated" in line or "2.png: damaged" in line for line in lines)
    data = make_voc(tmp_path / "voc")
    Image.new("RGB", (64, 60)).save(data / "JPEGImages/000009.png")
    lines, _ = check_annotated("detect-voc", data)
    assert any("000009.png: the image is 64 x 60 pixels, its annotations are for 64 x 64" in line for line in lines)


def test_the_command_ends_with_one_where_a_run_would_stop(tmp_path):
    data = make_voc(tmp_path / "voc")
    (data / "Annotations/000003.xml").write_text("<annotation>")
    command = [sys.executable, "-m", "moco", "check", "--data", str(data), "--task", "detect-voc"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "000003.xml, line 1: damaged XML" in done.stdout
