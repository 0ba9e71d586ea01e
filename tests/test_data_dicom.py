"""DICOM, NIfTI and JPEG XL, as their own libraries write them."""

import base64
import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from moco.data.content import kind_of
from moco.data.decide import decide
from moco.data.decode import decode
from moco.data.folder import Folder
from moco.data.native import open_native
from moco.data.seen import open_seen, seen
from moco.data.source import Unreadable
from moco.data.survey import survey
from moco.preprocess import Preprocess
from moco.recipe import Normalize, Pixels

pydicom = pytest.importorskip("pydicom")
nibabel = pytest.importorskip("nibabel")
RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def dicom(values, seen_as="MONOCHROME2", stored=None, syntax=None, frames=False, **tags):
    """A DICOM file of these values, as pydicom writes it."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = syntax or ExplicitVRLittleEndian
    data = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    if values is not None:
        data.Rows, data.Columns = values.shape[1:3] if frames else values.shape[:2]
        data.SamplesPerPixel = 3 if seen_as in ("RGB", "YBR_FULL") else 1
        data.PhotometricInterpretation = seen_as
        data.BitsAllocated = values.dtype.itemsize * 8
        data.BitsStored = stored or data.BitsAllocated
        data.HighBit = data.BitsStored - 1
        data.PixelRepresentation = int(values.dtype.kind == "i")
        if data.SamplesPerPixel == 3:
            data.PlanarConfiguration = 0
        if frames:
            data.NumberOfFrames = len(values)
        data.PixelData = values.tobytes()
    for tag, value in tags.items():
        setattr(data, tag, value)
    file = io.BytesIO()
    data.save_as(file, enforce_file_format=True)
    return file.getvalue()


def noise(*shape, most=200, dtype=np.uint8):
    return RANDOM.integers(0, most, shape).astype(dtype)


def test_12_bits_are_12_bits_whatever_they_hold():
    values = noise(16, 20, most=300, dtype=np.uint16)
    image = open_native(dicom(values, stored=12))
    assert (image.facts.width, image.facts.height, image.facts.white) == (20, 16, 4095)
    assert np.array_equal(image.values()[..., 0], values)


def test_values_are_in_the_units_of_the_modality():
    values = noise(16, 16, most=2000, dtype=np.int16)
    image = open_native(dicom(values, stored=12, RescaleSlope="2", RescaleIntercept="-1024"))
    assert image.facts.type == "float32"
    assert np.array_equal(image.values()[..., 0], values * 2.0 - 1024)


def test_monochrome1_is_white_where_others_are_black():
    values = noise(16, 16, most=4000, dtype=np.uint16)
    assert np.array_equal(open_native(dicom(values, "MONOCHROME1", 12)).values()[..., 0], 4095 - values)
    hounsfield = open_native(dicom(values, "MONOCHROME1", 12, RescaleSlope="1", RescaleIntercept="-1000"))
    assert np.array_equal(hounsfield.values()[..., 0], (4095 - values) - 1000.0)


@pytest.mark.parametrize("shape", ["LINEAR", "LINEAR_EXACT"])
@pytest.mark.parametrize("seen_as", ["MONOCHROME2", "MONOCHROME1"])
def test_the_window_that_all_files_tell_is_the_range_and_what_pydicom_makes_of_it(tmp_path, shape, seen_as):
    from pydicom.pixels import apply_rescale, apply_windowing

    told = {"WindowCenter": ["40", "400"], "WindowWidth": ["400", "90"], "VOILUTFunction": shape}
    told |= {"RescaleSlope": "1", "RescaleIntercept": "-1024"}
    ramp = np.linspace(0, 4095, 32 * 32).astype(np.uint16).reshape(32, 32)
    for i in range(3):
        (tmp_path / f"{i}.dcm").write_bytes(dicom(np.roll(ramp, i), seen_as, 12, **told))
    source = Folder(tmp_path)
    found = decide(source, survey(source))
    assert "the window that the files tell" in found.lines[0]
    unit = Preprocess(32, Normalize(mean=(0.0,), std=(1.0,)), found.pixels).centre(
        decode(seen(source, found.pixels).raw(1))
    )
    data = pydicom.dcmread(tmp_path / "1.dcm")
    theirs = apply_windowing(apply_rescale(data.pixel_array, data), data)
    theirs = (theirs - theirs.min()) / (theirs.max() - theirs.min())
    theirs = 1 - theirs if seen_as == "MONOCHROME1" else theirs
    assert np.abs(unit[0].numpy() - theirs).max() < 1e-3


def test_a_window_that_is_no_straight_line_is_not_taken():
    values = noise(16, 16, dtype=np.uint16)
    assert open_native(dicom(values, WindowCenter="40", WindowWidth="80")).facts.window == (0.0, 79.0)
    for told in ({"VOILUTFunction": "SIGMOID"}, {"WindowWidth": "1"}, {"WindowWidth": None}):
        assert open_native(dicom(values, **{"WindowCenter": "40", "WindowWidth": "80"} | told)).facts.window is None


def test_colour_is_colour_in_any_space():
    values = noise(16, 16, 3)
    assert np.array_equal(open_native(dicom(values, "RGB")).values(), values)
    assert np.array_equal(decode(dicom(values, "RGB")), values)
    full = np.asarray(Image.fromarray(values).convert("YCbCr"))
    assert np.abs(open_native(dicom(full, "YBR_FULL")).values().astype(int) - values).max() <= 3


def test_each_frame_is_a_page():
    values = noise(5, 16, 20, dtype=np.uint16)
    image = open_native(dicom(values, frames=True))
    assert image.pages == 5
    assert np.array_equal(image.values(3)[..., 0], values[3])


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (lambda: dicom(None), "a DICOM without pixels"),
        (lambda: without_pixels(), "a DICOM without pixels"),
        (lambda: without_pixels(encrypted()), "a DICOM whose pixels are encrypted: .*decrypted"),
        (lambda: dicom(noise(16, 16))[:-50], "DICOM"),
        (lambda: dicom(noise(16, 16))[:200], "DICOM"),
        (lambda: dicom(noise(16, 16), syntax=pydicom.uid.JPEGLosslessSV1, PixelData=encapsulated())[:-9], "truncated"),
        (
            lambda: dicom(noise(16, 16), syntax=pydicom.uid.JPEGLosslessSV1, PixelData=encapsulated()),
            r"compressed as JPEG Lossless.*, damaged or of a rare kind: pip install pylibjpeg pylibjpeg-libjpeg",
        ),
        (
            lambda: dicom(noise(16, 16), syntax=pydicom.uid.MPEG2MPML, PixelData=encapsulated()),
            "compressed as MPEG2.*, which is not read",
        ),
    ],
    ids=[
        "without size",
        "without pixels",
        "encrypted",
        "cut",
        "cut in its header",
        "JPEG cut",
        "JPEG damaged",
        "a film",
    ],
)
def test_what_cannot_be_read_is_named_with_its_reason(raw, said):
    with pytest.raises(Unreadable, match=said):
        open_native(raw()).values()


@pytest.mark.parametrize(
    ("syntax", "encode", "stored"),
    [
        ("JPEGLosslessSV1", "ljpeg_encode", 12),
        ("JPEGLossless", "ljpeg_encode", 16),
        ("JPEGLSLossless", "jpegls_encode", 12),
        ("HTJ2KLossless", "htj2k_encode", 12),
    ],
)
@pytest.mark.parametrize("signed", [False, True])
def test_frames_in_lossless_compressions_of_medicine_are_what_was_written(syntax, encode, stored, signed):
    imagecodecs = pytest.importorskip("imagecodecs")
    if not hasattr(imagecodecs, encode):
        pytest.skip(f"imagecodecs {imagecodecs.__version__} has no {encode}")
    kind, least = (np.int16, -(2 ** (stored - 1))) if signed else (np.uint16, 0)
    values = RANDOM.integers(least, least + 2**stored, (2, 24, 32)).astype(kind)
    bits = (values.astype(np.int32) & (2**stored - 1)).astype(np.uint16)
    how = {"reversible": True} if encode == "htj2k_encode" else {}
    coded = pydicom.encaps.encapsulate([getattr(imagecodecs, encode)(one, **how) for one in bits])
    raw = dicom(values, stored=stored, syntax=getattr(pydicom.uid, syntax), frames=True, PixelData=coded)
    image = open_native(raw)
    assert all(np.array_equal(image.values(page)[..., 0], values[page]) for page in range(2))


HTJ2K = """
/0//UQApQAAAAAAUAAAAEAAAAAAAAAAAAAAAFAAAABAAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCIkJCQkJCQkJCQkJCQiIiI
/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAHsAAf+TwAAm/3YFB3QAwAASgOAAB3QAoAAKgNgRO/4A4jQAoAAKsOiIDnT8ACEAd1YAwAAT
QAAV4OLQL9t1AGQkgwwyyPjgFEZSgey4AMAAJ4AAWsAA7+ApS+YA8uXl5eXl5eXl5f6GPYxge/Yxgey8AP/Z"""
"""250 a row and 1 a column, 16 x 20, as OpenJPH writes them: imagecodecs reads HTJ2K for longer than it writes it."""


def test_htj2k_is_read_also_by_an_imagecodecs_that_cannot_write_it():
    pytest.importorskip("imagecodecs")
    rows, columns = np.mgrid[:16, :20].astype(np.uint16)
    coded = pydicom.encaps.encapsulate([base64.b64decode(HTJ2K)])
    raw = dicom(rows, stored=12, syntax=pydicom.uid.HTJ2KLossless, PixelData=coded)
    assert np.array_equal(open_native(raw).values()[..., 0], 250 * rows + columns)


def without_pixels(*more):
    """A DICOM that says how large its image is, and holds none."""
    data = pydicom.dcmread(io.BytesIO(dicom(noise(16, 16))))
    del data.PixelData
    for element in more:
        data.add(element)
    file = io.BytesIO()
    data.save_as(file, enforce_file_format=True)
    return file.getvalue()


def encrypted():
    """What holds attributes that were taken out and encrypted (PS3.15, E.1)."""
    inside = pydicom.Dataset()
    inside.EncryptedContentTransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    inside.EncryptedContent = bytes(64)
    return pydicom.DataElement("EncryptedAttributesSequence", "SQ", [inside])


def encapsulated():
    return pydicom.encaps.encapsulate([b"\xff\xd8\xff\xc3" + bytes(60)])


def test_the_same_image_as_png_tiff_and_dicom_is_the_same_to_an_encoder(tmp_path):
    torch = pytest.importorskip("torch")
    from moco.backbones import build_backbone

    image = np.asarray(Image.fromarray(noise(12, 12)).resize((80, 60), Image.Resampling.BICUBIC))
    Image.fromarray(image).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "b.tif", image.astype(np.uint16) * 257)
    (tmp_path / "c.dcm").write_bytes(dicom(image))
    (tmp_path / "d.dcm").write_bytes(dicom(np.rint(image * (4095 / 255)).astype(np.uint16), stored=12))
    prepare = Preprocess(32, Normalize(mean=(0.4,), std=(0.2,)), Pixels())
    torch.manual_seed(0)
    encoder = build_backbone("resnet10w16", "small", 1)[0].eval()
    source = seen(Folder(tmp_path), Pixels())
    with torch.no_grad():
        features = encoder(prepare.normalise(torch.stack([prepare.centre(decode(source.raw(i))) for i in range(4)])))
    assert (features - features[0]).abs().max() < 1e-3 * features[0].abs().max()


def test_a_folder_of_dicom_without_endings_is_read_and_its_views_suggested(tmp_path):
    for i in range(5):
        (tmp_path / f"IM{i:04}").write_bytes(dicom(noise(16, 16, most=4000, dtype=np.uint16), stored=12))
    source = Folder(tmp_path)
    found = decide(source, survey(source))
    assert len(source) == 5
    assert (found.pixels.white, found.views) == ((4095.0,), "xray")


def nifti(values, compressed=False, **scale):
    image = nibabel.Nifti1Image(values, np.eye(4))
    if scale:
        image.header.set_slope_inter(**scale)
    raw = image.to_bytes()
    import gzip

    return gzip.compress(raw) if compressed else raw


@pytest.mark.parametrize("compressed", [False, True])
def test_slices_of_a_volume_are_pages(compressed):
    values = noise(20, 16, 5, most=3000, dtype=np.int16)
    raw = nifti(values, compressed)
    assert kind_of(raw) == "NIfTI"
    image = open_native(raw)
    assert (image.pages, image.facts.width, image.facts.height, image.facts.type) == (5, 20, 16, "int16")
    assert np.array_equal(image.values(3)[..., 0], values[:, ::-1, 3].T)


def test_what_a_nifti_scales_is_scaled():
    values = noise(16, 16, 2, dtype=np.int16)
    image = open_native(nifti(values, slope=0.5, inter=10))
    assert image.facts.type == "float32"
    raw = nibabel.Nifti1Image.from_bytes(nifti(values, slope=0.5, inter=10))
    assert np.allclose(image.values(1)[..., 0], np.asarray(raw.dataobj)[:, ::-1, 1].T)


@pytest.mark.parametrize("shape", [(16, 20), (16, 20, 3), (16, 20, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_jpeg_xl_is_read_in_any_depth(shape, dtype):
    imagecodecs = pytest.importorskip("imagecodecs")
    values = noise(*shape, dtype=dtype)
    if shape[2:] == (4,):
        values[..., 3] = np.iinfo(dtype).max
    raw = bytes(imagecodecs.jpegxl_encode(values, lossless=True))
    image = open_native(raw)
    assert image.facts.bands == (3 if len(shape) == 3 else 1)
    assert np.array_equal(image.values(), values.reshape(16, 20, -1)[..., :3])
    assert decode(raw).shape == (16, 20, 3)


def test_frames_of_another_type_are_refused_in_an_8_bit_set():
    floats = dicom(noise(16, 16, dtype=np.int16), RescaleSlope="2", RescaleIntercept="-1024")
    with pytest.raises(Unreadable, match="values of type float32, and those of this data set are uint8"):
        open_seen(floats, Pixels())
