"""Files that cannot be opened say why, and none of them runs code."""

import enum
import functools
import json
import os
import pickle
import subprocess
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign_layouts import resnet, trunk, write

from moco.errors import MocoError
from moco.foreign import resnets
from moco.foreign.architecture import misfit
from moco.foreign.containers import contents
from moco.foreign.files import read_file
from moco.foreign.inert import allowed
from moco.run.load import open_encoder

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab\nsize 94377453\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (POINTER, "is a pointer of Git LFS, .* git lfs pull --include x.pth fetches"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"GGUF\x03\x00\x00\x00", "GGUF file, which holds quantised weights"),
        (b"\x1f\x8b\x08\x00", "is compressed; unpack it first"),
        (b"PK\x03\x04 half a zip", "is cut off: its end is missing"),
        (b"weights = 3", "is not a file of weights that is known"),
        (b"\x80\x02}q\x00(X", "is damaged"),
        (b"\x20\x00\x00\x00\x00\x00\x00\x00{not json", "is damaged"),
    ],
)
def test_what_are_no_weights_is_said_by_what_it_is(content, says, tmp_path):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(MocoError, match=says) as told:
        open_encoder(tmp_path / "x.pth")
    assert "\n" not in str(told.value)


class Evil:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


CALLS = {
    "system": (os.system, ("touch {}",)),
    "eval": (eval, ("open('{}', 'w')",)),
    "popen": (subprocess.getoutput, ("touch {}",)),
    "open": (open, ("{}", "w")),
}


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("name", CALLS)
def test_a_file_made_to_run_code_is_refused_and_runs_none(name, old, tmp_path):
    function, arguments = CALLS[name]
    mark = tmp_path / "ran"
    evil = Evil(function, tuple(str(a).format(mark) for a in arguments))
    content = {"state_dict": trunk(resnet().state_dict()), "args": evil}
    torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=not old)
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"model": {"a": np.zeros(2)}, "b": evil}))
    for file in ("x.pth", "x.pkl"):
        with pytest.raises(MocoError, match="which is not data but code"):
            open_encoder(tmp_path / file)
    assert not mark.exists()


def test_a_class_of_another_package_is_neither_imported_nor_called(tmp_path):
    """Its module is on the path, would leave a mark when it is imported, and is not."""
    (tmp_path / "evil_room.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Thing:\n    pass\n")
    code = "import evil_room, torch; torch.save({'a': torch.ones(2), 'b': evil_room.Thing()}, 'x.pth')"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    (tmp_path / "ran").unlink()
    code = (
        "from pathlib import Path; from moco.foreign.files import read_file; import sys; "
        "print(read_file(Path('x.pth'))['b'].name); assert 'evil_room' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert done.stdout == "evil_room.Thing\n"
    assert not (tmp_path / "ran").exists()


def test_a_pickle_cannot_change_the_functions_it_may_call():
    call = allowed("torch._utils", "_rebuild_tensor_v2")
    assert not hasattr(call, "__dict__")
    with pytest.raises(pickle.UnpicklingError, match="change a function"):
        call.__setstate__((None, {"__defaults__": (1,)}))


def library_of(*kinds):
    """The classes in a module that is not there to be imported when a file of them is read."""
    room = types.ModuleType("acme.kinds")
    for kind in kinds:
        kind.__module__, kind.__qualname__ = "acme.kinds", kind.__name__
        setattr(room, kind.__name__, kind)
    return {"acme": types.ModuleType("acme"), "acme.kinds": room}


class Mode(enum.Enum):
    SLOW = 1


class Callback:
    def called(self):
        """Pickled as getattr(Callback(), 'called')."""


class Member:
    def __reduce__(self):
        return getattr, (Mode, "SLOW")  # as Python 3.11 writes Mode.SLOW


class Derived(torch.Tensor):
    pass


def as_derived(w):
    return {k: v.as_subclass(Derived) for k, v in w.items()}


def with_attributes(w):
    found = {k: v.clone() for k, v in w.items()}
    for tensor in found.values():
        tensor.tag = "sharded"
    return found


@pytest.mark.parametrize(
    "content",
    [
        lambda w: {"state_dict": w, "hyper_parameters": {"hook": Callback().called, "mode": Mode.SLOW, "m": Member()}},
        lambda w: {"state_dict": w, "activation": functools.partial(torch.nn.ReLU, inplace=True), "room": Path("/x")},
        as_derived,
        with_attributes,
    ],
)
def test_what_training_scripts_save_beside_weights_is_left_unmade(content, monkeypatch, tmp_path):
    net = resnet()
    rooms = library_of(Mode, Callback, Derived)
    with monkeypatch.context() as there:
        for name, room in rooms.items():
            there.setitem(sys.modules, name, room)
        torch.save(content(net.state_dict()), tmp_path / "x.pth")
    assert torch.equal(open_encoder(tmp_path / "x.pth").backbone.conv1.weight, net.conv1.weight)


@pytest.mark.parametrize("content", [lambda net: net, lambda net: {"state_dict": net.state_dict()}])
@pytest.mark.parametrize("how", ["pickle", "torch before 1.6"])
def test_tensors_and_modules_that_were_pickled_in_old_ways_are_opened(content, how, tmp_path):
    net = resnet()
    if how == "pickle":
        (tmp_path / "x.pkl").write_bytes(pickle.dumps(content(net)))
    else:
        torch.save(content(net), tmp_path / "x.pkl", _use_new_zipfile_serialization=False)
    assert torch.equal(open_encoder(tmp_path / "x.pkl").backbone.conv1.weight, net.conv1.weight)


def test_buffers_that_a_module_does_not_save_are_none_of_a_pickled_one(tmp_path):
    net = resnet()
    net.layer1.register_buffer("mask", torch.zeros(4), persistent=False)
    torch.save(net, tmp_path / "x.pth")
    assert "layer1.mask" not in contents(read_file(tmp_path / "x.pth")).tensors
    assert torch.equal(open_encoder(tmp_path / "x.pth").backbone.conv1.weight, net.conv1.weight)


def test_weights_in_parts_are_joined_by_their_index(tmp_path):
    save = pytest.importorskip("safetensors.torch").save_file
    net = trunk(resnet().state_dict())
    parts = {name: f"model-{n % 2}.safetensors" for n, name in enumerate(net)}
    for part in set(parts.values()):
        save({k: v for k, v in net.items() if parts[k] == part}, tmp_path / part)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": parts}, indent=2))
    for named in (index, tmp_path):  # a folder of accelerate has no config.json
        assert torch.equal(open_encoder(named).backbone.conv1.weight, net["conv1.weight"])
    (tmp_path / "model-1.safetensors").unlink()
    with pytest.raises(MocoError, match=r"there is no file .*model-1\.safetensors"):
        open_encoder(tmp_path)


def test_what_one_of_several_processes_wrote_is_told_to_be_joined(tmp_path):
    names = {"module." + k: torch.zeros(0) for k in trunk(resnet().state_dict())}
    torch.save({"module": names, "ds_version": "0.14"}, tmp_path / "x.pt")
    with pytest.raises(MocoError, match=r"has names and no numbers .*zero_to_fp32\.py"):
        open_encoder(tmp_path / "x.pt")
    (tmp_path / "dcp").mkdir()
    for name in (".metadata", "__0_0.distcp"):
        (tmp_path / "dcp" / name).write_bytes(b"PK")
    with pytest.raises(MocoError, match=r"format_utils dcp_to_torch .*dcp FILE joins them"):
        open_encoder(tmp_path / "dcp")
    with pytest.raises(MocoError, match="what one of several processes wrote; name its folder"):
        open_encoder(tmp_path / "dcp" / "__0_0.distcp")


def test_half_a_checkpoint_is_refused_by_name(tmp_path):
    weights = {k: v for k, v in resnet().state_dict().items() if not k.startswith("layer3.0.bn1")}
    torch.save(weights, tmp_path / "x.pth")
    with pytest.raises(MocoError, match=r"does not fit resnet10w64.*4 tensors are missing \(layer3\.0\.bn1\.weight"):
        open_encoder(tmp_path / "x.pth")


def test_a_checkpoint_without_its_last_stages_is_refused_by_their_names():
    """All libraries' models are asked after; that takes seconds, and no file is needed for it."""
    outlines = {k: v.to("meta") for k, v in resnet().state_dict().items() if not k.startswith(("layer3", "layer4"))}
    assert resnets.read(outlines).about == "resnet10w64"
    assert misfit(outlines, resnets.read(outlines)).missing[0] == "layer3.0.conv1.weight"


def test_a_truncated_file_is_refused(tmp_path):
    torch.save(resnet().state_dict(), tmp_path / "x.pth")
    whole = (tmp_path / "x.pth").read_bytes()
    (tmp_path / "x.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MocoError, match="is cut off"):
        open_encoder(tmp_path / "x.pth")
    (tmp_path / "x.pth").write_bytes(whole[:5000000] + b"\0\0\0\0" + whole[5000004:])
    with pytest.raises(MocoError, match=r"the checksum of .* is wrong"):
        open_encoder(tmp_path / "x.pth")


def test_numbers_that_are_not_finite_are_refused_by_name(tmp_path):
    weights = resnet().state_dict()
    weights["layer2.0.conv1.weight"][0, 0, 0, 0] = float("nan")
    torch.save(weights, tmp_path / "x.pth")
    with pytest.raises(MocoError, match=r"layer2\.0\.conv1\.weight holds numbers that are not finite"):
        open_encoder(tmp_path / "x.pth")


def test_quantised_weights_are_refused_with_the_reason(tmp_path):
    weights = dict(resnet().state_dict())
    whole = weights | {"conv1.weight": weights["conv1.weight"].to(torch.int8)}
    torch.save(whole, tmp_path / "x.pth")
    with pytest.raises(MocoError, match=r"conv1\.weight is int8: quantised"):
        open_encoder(tmp_path / "x.pth")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weights["conv1.weight"] = torch.quantize_per_tensor(weights["conv1.weight"], 0.1, 0, torch.qint8)
    torch.save(weights, tmp_path / "x.pth")
    with pytest.raises(MocoError, match="it is quantised"):
        open_encoder(tmp_path / "x.pth")


def test_a_program_and_a_folder_are_refused(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "x.pt")
    with pytest.raises(MocoError, match=r"is a program .* save its state_dict\(\)"):
        open_encoder(tmp_path / "x.pt")
    with pytest.raises(MocoError, match=r"not a run directory .* it holds x\.pt: name one of them"):
        open_encoder(tmp_path)
    with pytest.raises(MocoError, match="there is no run, file or model"):
        open_encoder(tmp_path / "nothing.pth")


def test_tensors_are_found_at_any_depth_and_wrappers_have_no_name(tmp_path):
    deep = {
        "a": [{"b": {"_orig_mod.c": {"_fsdp_wrapped_module": {"d": torch.ones(1)}}}}],
        "arch": "resnet18",
        "epoch": 3,
    }
    held = contents(deep)
    assert list(held.tensors) == ["a.0.b.c.d"]
    assert held.words == {"arch": "resnet18", "epoch": 3}
    round_trip = {"x": deep}
    round_trip["itself"] = round_trip
    assert list(contents(round_trip).tensors) == ["x.a.0.b.c.d"]


def test_what_the_objects_were_is_told(tmp_path):
    file = write(tmp_path / "x.pth", "PyContrast", resnet().state_dict())
    assert "objects that were left unmade: argparse.Namespace" in open_encoder(file).notes
    assert read_file(file)["opt"].name == "argparse.Namespace"
