"""What `import moco` offers: the list of it, its types, and that nonsense is refused in one sentence."""

import ast
import copy
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import moco

PUBLIC = {
    "a run": {"pretrain", "evaluate", "export", "report", "load", "load_transfer", "Stopped", "MocoError", "Moment"},
    "recipes": {"Recipe", "Machine", "cifar", "end_to_end", "memory_bank", "simclr", "v1", "v2", "v3", "v3_vit"},
    "views": {"views", "View", "Jitter", "Blur", "Bands", "Noise", "Normalize"},
    "parts": {
        "Encoder", "Queue", "build_encoder", "group_batch_norm", "info_nce", "momentum_update_", "place",
        "shuffled_keys",
    },
    "scores": {
        "alignment", "effective_rank", "knn", "lidar", "linear_probe", "retrieval_accuracy", "rotation_accuracy",
        "spread", "uniformity",
    },
}  # fmt: skip
"""A name leaves this list only after a release in which it warned (docs/library.md)."""

DOCS = Path(__file__).parent.parent.parent / "docs" / "library.md"


def test_what_is_public_is_this_list():
    assert set(moco.__all__) == set.union(*PUBLIC.values())
    assert sorted(moco.__all__, key=str.lower) == sorted(set(moco.__all__), key=str.lower)
    for name in moco.__all__:
        assert getattr(moco, name) is not None


def test_types_and_values_have_the_same_names():
    """What a type checker sees (`if TYPE_CHECKING`) is what `__getattr__` gives."""
    tree = ast.parse(Path(moco.__file__).read_text())
    seen = {
        (alias.name, node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert set(moco._NAMES.items()) <= seen


def test_every_public_name_has_its_words_in_the_documents_and_a_docstring():
    text = DOCS.read_text()
    for name in moco.__all__:
        assert re.search(rf"moco\.{name}\b", text), f"docs/library.md says nothing of moco.{name}"
        assert inspect.getdoc(getattr(moco, name)), name


def test_a_deprecated_name_works_and_says_what_to_use_and_until_when(monkeypatch):
    monkeypatch.setitem(moco._DEPRECATED, "nce", ("info_nce", "0.4"))
    with pytest.warns(DeprecationWarning, match=r"moco.nce is now moco.info_nce, and gone in 0.4") as told:
        assert moco.nce is moco.info_nce
    assert told[0].filename == __file__


@pytest.mark.parametrize(
    ("code", "seconds"),
    [("import moco", 0.1), ("import sys; sys.argv = ['moco', '--help']; from moco.cli import main; main()", 0.3)],
)
def test_importing_moco_takes_a_tenth_of_a_second_of_a_core_help_three_tenths_and_no_torch(code, seconds):
    """Of processor time, beyond the interpreter's own start; measured: 0.01 s and 0.04 s."""
    timed = (
        f"import sys, time\nstart = time.process_time()\n{code}\n"
        "print(time.process_time() - start, 'torch' in sys.modules, 'numpy' in sys.modules, file=sys.stderr)"
    )
    best = float("inf")
    for _ in range(3):
        said = subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True).stderr.split()
        assert said[1:] == ["False", "False"]
        best = min(best, float(said[0]))
    assert best < seconds


def unit(n, c, seed=0):
    return F.normalize(torch.randn(n, c, generator=torch.Generator().manual_seed(seed)), dim=1)


def net():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))


PIXELS = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
Q, K, OTHERS = unit(4, 8), unit(4, 8, 1), unit(16, 8, 2)
LABELS = torch.tensor([0, 1, 0, 1])
LAZY = {
    "queue": lambda: moco.Queue(16, 8),
    "encoder": lambda: moco.Encoder(nn.Flatten(), nn.Linear(192, 4)),
    "views": lambda: moco.views("gentle", size=8),
}


def nce(*given, **named):
    return moco.info_nce(*given, **{"temperature": 0.1} | named)


BAD = {
    # Queue
    "a queue of no keys": (lambda: moco.Queue(0, 8), "size is 0; give a whole number of at least 1"),
    "a queue of half a key": (lambda: moco.Queue(1.5, 8), "size is 1.5; give a whole number"),
    "keys of no length": (lambda: moco.Queue(16, 0), "dim is 0; give"),
    "a negative seed": (lambda: moco.Queue(16, 8, seed=-1), "seed is -1; give"),
    "another store": (lambda: moco.Queue(16, 8, store="fp8"), "store is 'fp8'; give fp32, bf16 or int8"),
    "keys in three dimensions": (
        lambda: LAZY["queue"]().update(K[None]),
        r"k is a tensor of 1 x 4 x 8, float32, on cpu; give N x C",
    ),
    "keys as a list": (lambda: LAZY["queue"]().update([[1.0] * 8]), "k is a list; give N x C"),
    "whole numbers as keys": (
        lambda: LAZY["queue"]().update(torch.ones(4, 8, dtype=torch.int64)),
        "int64, on cpu; give N x C of floating point",
    ),
    "no keys": (lambda: LAZY["queue"]().update(K[:0]), "k is a tensor of 0 x 8"),
    "shorter keys": (
        lambda: LAZY["queue"]().look_up(unit(4, 6)),
        "4 x 6.*a queue of keys of length 8; give keys of that length",
    ),
    "more keys than the queue holds": (
        lambda: LAZY["queue"]().update(unit(17, 8)),
        "17 x 8.*17 keys a step for a queue of 16; make the queue larger or the batch smaller",
    ),
    "a look with more keys than it holds": (lambda: LAZY["queue"]().look_up(unit(17, 8)), "for a queue of 16; make"),
    "keys that are not normalised": (
        lambda: LAZY["queue"]().update(3 * K),
        r"whose row \d has length 3, not 1; normalise it: torch.nn.functional.normalize",
    ),
    "keys that are not finite": (lambda: LAZY["queue"]().update(K * torch.nan), "row 0 has length nan, not 1"),
    "keys elsewhere": (
        lambda: LAZY["queue"]().update(K.to("meta")),
        r"k on meta, the queue on cpu; put all of them on one device",
    ),
    "a state of another queue": (
        lambda: LAZY["queue"]().restore(moco.Queue(8, 8).state()),
        "does not fit a queue of 16 x 8 kept as fp32",
    ),
    # info_nce
    "a query of one dimension": (lambda: nce(Q[0], K, OTHERS), r"q is a tensor of 8, float32, on cpu; give N x C"),
    "keys of other number": (lambda: nce(Q, K[:3], OTHERS), "q is .*4 x 8.* key is .*3 x 8.*; give both the same"),
    "negatives of other length": (lambda: nce(Q, K, unit(16, 6)), "others is .*16 x 6.*; give both the same number"),
    "negatives in whole numbers": (lambda: nce(Q, K, OTHERS.int()), "others is .*int32.*of floating point"),
    "queries not normalised": (lambda: nce(2 * Q, K, OTHERS), "q is .* has length 2, not 1; normalise it"),
    "a positive not normalised": (lambda: nce(Q, 2 * K, OTHERS), "key is .* has length 2, not 1; normalise it"),
    "negatives not normalised": (lambda: nce(Q, K, 2 * OTHERS), "others is .* has length 2, not 1; normalise it"),
    "negatives elsewhere": (
        lambda: nce(Q, K, OTHERS.to("meta")),
        "q on cpu, key on cpu, others on meta; put all of them on one device",
    ),
    "a temperature of zero": (lambda: nce(Q, K, OTHERS, temperature=0), "temperature is 0; give a number above 0"),
    "counts of another shape": (lambda: nce(Q, K, OTHERS, torch.zeros(4, 15)), "log_count is .*4 x 15.*; give 4 x 16"),
    "scales of another number": (
        lambda: nce(Q, K, OTHERS.to(torch.int8), None, torch.ones(3)),
        "scale is a tensor of 3.*; give 16",
    ),
    # momentum_update_
    "parameters in place of a module": (
        lambda: moco.momentum_update_(list(net().parameters()), net()),
        "key is a list; give the encoder itself, a torch.nn.Module",
    ),
    "another architecture": (
        lambda: moco.momentum_update_(net(), nn.Linear(2, 2)),
        r"have 4 and 2 parameters|have parameter 0 of shape 8 x 3 x 3 x 3 and 2 x 2; make the key encoder by copy",
    ),
    "half precision": (
        lambda: moco.momentum_update_(net().bfloat16(), net()),
        "key has a tensor of 8 x 3 x 3 x 3, bfloat16.*keep its parameters in fp32",
    ),
    "a momentum above one": (lambda: moco.momentum_update_(net(), net(), 1.1), "m is 1.1; give a number from 0 to 1"),
    "encoders on two devices": (
        lambda: moco.momentum_update_(net().to("meta"), net()),
        "key is on meta and query on cpu; put both on one device",
    ),
    # shuffled_keys
    "images of bytes": (lambda: moco.shuffled_keys(net(), PIXELS, step=0), "images is .*uint8.* of floating point"),
    "a negative step": (lambda: moco.shuffled_keys(net(), PIXELS.float(), step=-1), "step is -1; give"),
    # group_batch_norm, Encoder, build_encoder
    "groups of no module": (lambda: moco.group_batch_norm("resnet18", 4), "net is 'resnet18'; give a torch.nn.Module"),
    "groups of one": (lambda: moco.group_batch_norm(net(), 1), "group is 1; give a whole number of at least 2"),
    "a synchronised BatchNorm": (
        lambda: moco.group_batch_norm(nn.Sequential(nn.SyncBatchNorm(8)), 4),
        "net has a SyncBatchNorm at 0.*give the network as it was before",
    ),
    "a batch that does not divide": (
        lambda: moco.group_batch_norm(net(), 3)(torch.zeros(4, 3, 8, 8)),
        "a batch of 4 images does not divide into BatchNorm groups of 3; ",
    ),
    "a backbone by name to Encoder": (
        lambda: moco.Encoder("resnet18", nn.Identity()),
        "backbone is .resnet18.; give a torch.nn.Module, or a name to moco.build_encoder",
    ),
    "bytes to an encoder": (lambda: LAZY["encoder"]()(PIXELS), "images is .*4 x 3 x 8 x 8, uint8, on cpu; give N"),
    "one image to an encoder": (
        lambda: LAZY["encoder"]()(torch.zeros(3, 8, 8)),
        "images is a tensor of 3 x 8 x 8, float32, on cpu; give N x C x S x S",
    ),
    "images elsewhere": (
        lambda: LAZY["encoder"]()(torch.zeros(4, 3, 8, 8, device="meta")),
        "images on meta and the encoder on cpu; put both on one device",
    ),
    "a module as a name": (lambda: moco.build_encoder(net()), "backbone is a Sequential; give a name"),
    "an unknown backbone": (lambda: moco.build_encoder("resnet19"), "resnet19"),
    "another stem": (lambda: moco.build_encoder("resnet18", stem="tiny"), "stem is 'tiny'; give imagenet, small"),
    "a head of no layers": (lambda: moco.build_encoder("resnet18", head_layers=0), "head_layers is 0; give"),
    # views
    "an unknown set of views": (lambda: moco.views("strong", size=8), "query is 'strong', no set of views; choose"),
    "views of another type": (lambda: moco.views(3, size=8), "query is 3; give a moco.View"),
    "views without a side": (lambda: moco.views(size=0), "size is 0; give a whole number of at least 1"),
    "a view that cannot be": (lambda: moco.views(moco.View(scale=(0.0, 1.0)), size=8), "moco.views: .*scale 0.0 1.0"),
    "images that are floating point": (
        lambda: LAZY["views"]()(PIXELS.float()),
        "images is a tensor of 4 x 3 x 8 x 8, float32, on cpu; give N x 3 x H x W of uint8",
    ),
    "channels last": (
        lambda: LAZY["views"]()(PIXELS.permute(0, 2, 3, 1)),
        r"images are a tensor of 4 x 8 x 8 x 3.*channels=8 \(of N x H x W x C: .permute\(0, 3, 1, 2\)\)",
    ),
    "one image": (lambda: LAZY["views"]()(PIXELS[0]), "images is a tensor of 3 x 8 x 8"),
    "an index too short": (lambda: LAZY["views"]()(PIXELS, [1, 2]), "index is a ndarray of 2 of int64; give 4 int"),
    "an index of real numbers": (lambda: LAZY["views"]()(PIXELS, [0.5] * 4), "index is .*float64; give 4 integers"),
    "an index on a device": (
        lambda: LAZY["views"]()(PIXELS, torch.arange(4, device="meta")),
        "index is .*on meta; keep it on the host: index.cpu",
    ),
    "an epoch below zero": (lambda: LAZY["views"]()(PIXELS, epoch=-1), "epoch is -1; give"),
    "sizes beyond the padding": (
        lambda: LAZY["views"]()(PIXELS, sizes=[[9, 8]] * 4),
        r"sizes go from \[9, 8\] to \[9, 8\] for images of 8 x 8; give each",
    ),
    "images without values": (lambda: LAZY["views"]()(PIXELS.to("meta")), "without values; put them on a device"),
    # scores
    "a rank of one row": (lambda: moco.effective_rank(Q[0]), "features is a tensor of 8, float32, on cpu; give N x C"),
    "a rank of integers": (lambda: moco.effective_rank(Q.int()), "features is .*int32"),
    "a rank of no numbers": (lambda: moco.effective_rank(Q * torch.inf), "values that are not finite"),
    "LiDAR of a matrix": (lambda: moco.lidar(Q), "views is a tensor of 4 x 8.*; give N x Q x D"),
    "LiDAR of one view": (lambda: moco.lidar(Q[:, None]), "views is .*4 x 1 x 8.*; give at least 2 images, each in 2"),
    "alignment of other shapes": (lambda: moco.alignment(Q, K[:3]), "give both the same shape"),
    "alignment of features": (lambda: moco.alignment(5 * Q, K), "a is .* has length 5, not 1; normalise it"),
    "alignment on two devices": (lambda: moco.alignment(Q, K.to("meta")), "a on cpu, b on meta; put all of them on"),
    "uniformity of one row": (lambda: moco.uniformity(Q[:1]), "z is a tensor of 1 x 8.*; give at least 2 rows"),
    "uniformity of features": (lambda: moco.uniformity(5 * Q), "has length 5, not 1; normalise it"),
    "spread of features": (lambda: moco.spread(5 * Q), "has length 5, not 1; normalise it"),
    "retrieval of other shapes": (lambda: moco.retrieval_accuracy(Q, unit(4, 6)), "give both the same shape"),
    "turns that are no four": (lambda: moco.rotation_accuracy(unit(9, 8)), "9 x 8.*; give 4N x D"),
    # knn, linear_probe
    "labels of another number": (lambda: moco.knn(Q, LABELS[:3], k=1), "labels is .*of 3.*for 4 rows of features"),
    "labels that are real": (lambda: moco.knn(Q, LABELS.float(), k=1), "labels is .*float32.*of integers"),
    "labels below zero": (lambda: moco.knn(Q, LABELS - 1, k=1), "with a class -1; number the classes from 0 on"),
    "a k beyond the rows": (lambda: moco.knn(Q, LABELS, k=4), "k is 4 for 3 other rows than the judged one.*; lower k"),
    "a k of zero": (lambda: moco.knn(Q, LABELS, k=0), "k is 0; give a whole number of at least 1"),
    "half of what is judged": (lambda: moco.knn(Q, LABELS, Q, k=1), "belong together; give both or neither"),
    "another vote": (lambda: moco.knn(Q, LABELS, k=1, vote="all"), "vote is 'all'; give weighted or majority"),
    "judged rows of another length": (
        lambda: moco.linear_probe(Q, LABELS, unit(4, 6), LABELS),
        "features is .*4 x 8.*test_features is .*4 x 6.*; give both the same number of columns",
    ),
    "judged classes that nobody knows": (
        lambda: moco.linear_probe(Q, LABELS, Q, LABELS + 1),
        "test_labels has a class 2, and labels go up to 1; number the classes of both alike",
    ),
    "judged rows elsewhere": (
        lambda: moco.linear_probe(Q, LABELS, Q.to("meta"), LABELS),
        "test_features on meta, test_labels on cpu; put all of them on one device",
    ),
    "no epochs": (lambda: moco.linear_probe(Q, LABELS, Q, LABELS, epochs=0), "epochs is 0; give a whole number"),
    "a rate of zero": (lambda: moco.linear_probe(Q, LABELS, Q, LABELS, lr=0.0), "lr is 0.0; give a number above 0"),
    # runs
    "watch of a number": (
        lambda: moco.pretrain("demo", "nowhere/run", watch=[3]),
        "watch has 3, which is neither labelled images nor a function of one argument; give a path",
    ),
    "watch of a function of two": (
        lambda: moco.pretrain("demo", "nowhere/run", watch=lambda moment, more: None),
        "neither labelled images nor a function of one argument",
    ),
    "watch of two sets": (lambda: moco.pretrain("demo", "nowhere/run", watch=["a", "b"]), "labelled images 2 times"),
    "images that are not there": (lambda: moco.pretrain("nowhere", "nowhere/run", "v2"), "nowhere"),
    "an encoder that is not there": (lambda: moco.load("nowhere"), "there is no run, file or model nowhere"),
    "a run that is not there": (lambda: moco.report("nowhere"), "nowhere is not a run directory"),
    "a judged encoder that is not there": (lambda: moco.evaluate("nowhere", "demo"), "nowhere"),
    "a format that is not there": (lambda: moco.export("torchvision:resnet18", "caffe", "nowhere/x"), "'caffe'"),
    "a fine-tuned model that is not there": (lambda: moco.load_transfer("nowhere"), "nowhere"),
    "a device that is not there": (lambda: moco.place(moco.Machine(device="cuda:99")), "cuda:99 cannot be used here"),
    "threads below one": (lambda: moco.Machine(threads=0), "threads 0: must be at least 1"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_meant_is_one_sentence_with_the_argument_and_what_to_do(what, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call, said = BAD[what]
    with pytest.raises(moco.MocoError, match=said) as refused:
        call()
    text = str(refused.value)
    assert "\n" not in text
    assert len(text) < 500
    assert not list(tmp_path.iterdir()), "nothing is written"


def test_every_public_function_is_in_the_table_of_what_is_refused():
    source = inspect.getsource(sys.modules[__name__])
    table = source[source.index("LAZY = {") : source.index("def test_what_cannot_be_meant")]
    data = PUBLIC["views"] - {"views"} | PUBLIC["recipes"] - {"Machine"} | {"Stopped", "MocoError", "Moment"}
    for name in set(moco.__all__) - data:  # data is checked where it is used
        assert f"moco.{name}(" in table, name


def test_what_is_right_passes_and_changes_nothing_but_what_it_says():
    queue = LAZY["queue"]()
    before = queue.state()
    before = {name: value.clone() for name, value in before.items()}
    q = Q.clone().requires_grad_()
    found = moco.info_nce(q, *queue.look_up(K), temperature=0.1)
    found.loss.backward()
    assert q.grad is not None
    assert all(torch.equal(before[name], value) for name, value in queue.state().items())
    queue.update(K)
    assert torch.equal(queue.keys[:4], K)
    other = moco.Queue(16, 8, seed=5)
    other.restore(queue.state())
    assert torch.equal(other.keys, queue.keys)
    assert queue.filled(8) == 0.5
    assert "16 keys of 8, fp32" in repr(queue)
    bf16 = F.normalize(K.bfloat16(), dim=1)
    moco.Queue(16, 8, store="bf16").update(bf16)  # as a head under autocast might give them
    int8 = moco.Queue(16, 8, store="int8")
    int8.update(K)
    assert moco.info_nce(Q, *int8.look_up(K), temperature=0.1).loss.isfinite()

    key = net()
    query = copy.deepcopy(key)
    with torch.no_grad():
        for p in query.parameters():
            p.add_(1)
    was = [p.detach().clone() for p in key.parameters()]
    moco.momentum_update_(key, query, 0.9)
    for p, old in zip(key.parameters(), was, strict=True):
        assert torch.allclose(p, old + 0.1, atol=1e-6)
