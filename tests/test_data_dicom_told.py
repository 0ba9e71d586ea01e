"""How a DICOM says to show it: windows, sigmoids and tables, of the file and of each frame; and rescale of each frame.

The oracles are the formulas of PS3.3, C.11.1 and C.11.2, written plainly.
"""

import io

import numpy as np
import pytest
from test_data_dicom import dicom

from moco.data.decide import Asked, decide
from moco.data.decode import decode
from moco.data.folder import Folder
from moco.data.native import open_native
from moco.data.pieces import pieces
from moco.data.seen import open_seen, seen
from moco.data.source import Unreadable
from moco.data.survey import survey
from moco.errors import MocoError
from moco.recipe import Pixels

pydicom = pytest.importorskip("pydicom")
RAMP = np.linspace(0, 4095, 16 * 16).astype(np.uint16).reshape(16, 16)
SHOWN = Pixels(kind="float32", black=(0.0,), white=(1.0,), shown=True)


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def item(**tags):
    one = pydicom.Dataset()
    for tag, value in tags.items():
        setattr(one, tag, value)
    return one


def table(entries, first=0, bits=16):
    """A VOI LUT of these values."""
    lut = item()
    lut.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries), first, bits])
    lut.add_new("LUTData", "US", [int(v) for v in entries])
    return [lut]


def line(values, black, white):
    return np.clip((values.astype(float) - black) / (white - black), 0, 1)


def sigmoid(values, centre, width):
    return 1 / (1 + np.exp(-4 * (values.astype(float) - centre) / width))


def shares(raw, page=0):
    return open_native(raw).shown(page)[..., 0]


def again(raw, syntax):
    """The same file in another transfer syntax."""
    data = pydicom.dcmread(io.BytesIO(raw))
    data.file_meta.TransferSyntaxUID = syntax
    file = io.BytesIO()
    data.save_as(file, enforce_file_format=True)
    return file.getvalue()


def test_a_sigmoid_is_that_of_the_standard():
    raw = dicom(RAMP, stored=12, WindowCenter="1800", WindowWidth="900", VOILUTFunction="SIGMOID")
    assert open_native(raw).facts.curve == "a sigmoid about 1800, 900 wide"
    assert np.abs(shares(raw) - sigmoid(RAMP, 1800, 900)).max() < 1e-6


def test_a_straight_window_is_that_of_the_standard():
    told = {"WindowCenter": "1800", "WindowWidth": "901"}
    assert np.abs(shares(dicom(RAMP, stored=12, **told)) - line(RAMP, 1349.5, 2249.5)).max() < 1e-6
    exact = dicom(RAMP, stored=12, VOILUTFunction="LINEAR_EXACT", **told)
    assert np.abs(shares(exact) - line(RAMP, 1349.5, 2250.5)).max() < 1e-6


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("first", [0, 1000])
@pytest.mark.parametrize("syntax", [pydicom.uid.ExplicitVRLittleEndian, pydicom.uid.ImplicitVRLittleEndian])
def test_a_table_says_what_each_value_is_shown_as(bits, first, syntax):
    entries = np.rint((np.arange(2000) / 1999) ** 2 * (2**bits - 1))
    raw = again(dicom(RAMP, stored=12, VOILUTSequence=table(entries, first, bits)), syntax)
    meant = entries[np.clip(RAMP.astype(int) - first, 0, 1999)] / (2**bits - 1)
    assert np.abs(shares(raw) - meant).max() < 1e-6
    assert open_native(raw).facts.curve.startswith("a table of 2,000 values")


def test_a_table_comes_after_the_rescale_and_before_a_window():
    entries = np.arange(1000)[::-1]
    told = {"RescaleSlope": "2", "RescaleIntercept": "-1000", "WindowCenter": "40", "WindowWidth": "80"}
    raw = dicom(RAMP, stored=12, VOILUTSequence=table(entries, -500), **told)
    meant = entries[np.clip(RAMP.astype(int) * 2 - 1000 + 500, 0, 999)] / 65535
    assert np.abs(shares(raw) - meant).max() < 1e-6


def test_a_table_of_the_modality_gives_its_units():
    entries = (np.arange(4096) // 2).astype(int)
    lut = table(entries, 0, 12)
    raw = dicom(RAMP, stored=12, ModalityLUTSequence=lut)
    assert np.array_equal(open_native(raw).values()[..., 0], entries[RAMP].astype(np.float32))
    assert np.abs(shares(raw) - entries[RAMP] / 4095).max() < 1e-6


def test_white_is_black_of_monochrome1_after_its_window():
    told = {"WindowCenter": "1800", "WindowWidth": "900", "VOILUTFunction": "SIGMOID"}
    raw = dicom(RAMP, "MONOCHROME1", 12, **told)
    assert np.abs(shares(raw) - (1 - sigmoid(RAMP, 1800, 900))).max() < 1e-6


def test_what_tells_nothing_is_shown_in_the_bits_that_are_stored():
    assert np.abs(shares(dicom(RAMP, stored=12)) - RAMP / 4095).max() < 1e-6
    signed = (RAMP.astype(int) - 2048).astype(np.int16)
    assert np.abs(shares(dicom(signed, stored=12)) - (signed + 2048.0) / 4095).max() < 1e-6
    colour = np.stack([RAMP // 16] * 3, axis=2).astype(np.uint8)
    assert np.abs(open_native(dicom(colour, "RGB")).shown() - colour / 255).max() < 1e-6


def enhanced(frames, own=(), shared=None):
    """A multi-frame file with functional groups: of each frame, and of all."""
    tags = {"PerFrameFunctionalGroupsSequence": list(own)} if own else {}
    tags |= {"SharedFunctionalGroupsSequence": [shared]} if shared else {}
    return dicom(frames, frames=True, stored=12, **tags)


def rescaled(slope, intercept):
    return [item(RescaleSlope=str(slope), RescaleIntercept=str(intercept), RescaleType="US")]


def windowed(centre, width, **more):
    return [item(WindowCenter=str(centre), WindowWidth=str(width), **more)]


def test_each_frame_is_rescaled_as_its_own_group_says():
    frames = np.stack([RAMP, RAMP, RAMP])
    own = [item(PixelValueTransformationSequence=rescaled(slope, -10)) for slope in (1, 2, 0.5)]
    image = open_native(enhanced(frames, own))
    assert (image.pages, image.facts.type) == (3, "float32")
    for page, slope in enumerate((1, 2, 0.5)):
        assert np.array_equal(image.values(page)[..., 0], (RAMP * float(slope) - 10).astype(np.float32))


def test_what_all_frames_share_is_that_of_each():
    shared = item(
        PixelValueTransformationSequence=rescaled(1, -1024),
        FrameVOILUTSequence=windowed(40, 400, VOILUTFunction="LINEAR"),
    )
    image = open_native(enhanced(np.stack([RAMP, RAMP]), shared=shared))
    assert (image.facts.window, image.facts.own_windows) == ((-160.0, 239.0), False)
    assert np.array_equal(image.values(1)[..., 0], RAMP.astype(np.float32) - 1024)
    assert np.abs(image.shown(1)[..., 0] - line(RAMP - 1024.0, -160, 239)).max() < 1e-6


def test_each_frame_has_a_window_of_its_own():
    own = [item(FrameVOILUTSequence=windowed(c, 101)) for c in (500, 1000, 3000)]
    image = open_native(enhanced(np.stack([RAMP] * 3), own))
    assert (image.facts.window, image.facts.own_windows) == ((949.5, 1049.5), True)
    for page, centre in enumerate((500, 1000, 3000)):
        assert np.abs(image.shown(page)[..., 0] - line(RAMP, centre - 50.5, centre + 49.5)).max() < 1e-6


def written(folder, raws):
    for i, raw in enumerate(raws):
        (folder / f"{i}.dcm").write_bytes(raw)
    return Folder(folder)


def test_the_curve_that_all_files_tell_is_how_all_are_read(tmp_path):
    told = {"WindowCenter": "1800", "WindowWidth": "900", "VOILUTFunction": "SIGMOID"}
    source = written(tmp_path, [dicom(np.roll(RAMP, i), stored=12, **told) for i in range(3)])
    found = decide(source, survey(source))
    assert "as the files say to show them (by a sigmoid about 1800, 900 wide, which they tell alike)" in found.lines[0]
    values = decode(seen(source, found.pixels).raw(1))
    assert np.abs(values[..., 0] - sigmoid(np.roll(RAMP, 1), 1800, 900)).max() < 1e-6


def test_curves_that_differ_are_taken_where_it_is_asked_for(tmp_path):
    tables = [table(np.arange(4096) * k) for k in (4, 8, 15)]
    source = written(tmp_path, [dicom(RAMP, stored=12, VOILUTSequence=one) for one in tables])
    left = decide(source, survey(source))
    assert left.pixels.white == (4095.0,)
    assert "the files tell 3 sigmoids or tables to show them by" in left.lines[1]
    assert "--range shown takes each file's own" in left.lines[1]
    taken = decide(source, survey(source), Asked(range="shown"))
    for i, k in enumerate((4, 8, 15)):
        values = decode(seen(source, taken.pixels).raw(i))[..., 0]
        assert np.abs(values - RAMP * (k / 65535)).max() < 1e-6


def test_frames_are_shown_each_by_its_own_window(tmp_path):
    own = [item(FrameVOILUTSequence=windowed(c, 101)) for c in (500, 1000, 3000)]
    source = written(tmp_path, [enhanced(np.stack([RAMP] * 3), own)])
    plain = decide(source, survey(source))
    assert "windows of each frame's own in 1 of them" in " ".join(plain.lines)
    made = decide(source, survey(source), Asked(range="shown"))
    images = seen(pieces(source, made.pixels), made.pixels)
    for page, centre in enumerate((500, 1000, 3000)):
        values = decode(images.raw(page))[..., 0]
        assert np.abs(values - line(RAMP, centre - 50.5, centre + 49.5)).max() < 1e-6


def test_how_files_are_shown_is_not_asked_of_those_that_do_not_say(tmp_path):
    source = written(tmp_path, [dicom(RAMP, stored=12)])
    with pytest.raises(MocoError, match="--range shown: no file looked at says how to show it"):
        decide(source, survey(source), Asked(range="shown"))
    told = {"WindowCenter": "1800", "WindowWidth": "900", "VOILUTFunction": "SIGMOID"}
    source = written(tmp_path, [dicom(RAMP, stored=12, **told)])
    with pytest.raises(MocoError, match=r"--range window: no file looked at tells a window.*or shown"):
        decide(source, survey(source), Asked(range="window"))


def test_a_picture_of_another_format_is_named_in_a_set_that_is_shown(tmp_path):
    with pytest.raises(Unreadable, match="values of type uint8"):
        open_seen(np.zeros((16, 16), np.uint8), SHOWN)
