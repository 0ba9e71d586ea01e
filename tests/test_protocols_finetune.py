"""The protocols that fine-tune, on handwritten digits: their tables, what they choose by, and what they leave alone."""

import numpy as np
import pytest
import torch

from moco.commands.evaluate import evaluate, named_protocol
from moco.encoder import build_encoder
from moco.errors import MocoError
from moco.machine import Machine
from moco.protocols.few_labels import FewLabels
from moco.protocols.few_labels_finetune import FewLabelsFinetune
from moco.protocols.finetune import Finetune
from moco.protocols.lesson import lesson_of
from moco.recipe import override, v2
from moco.run.encoder_file import save_encoder

MACHINE = Machine(device="cpu", precision="fp32", threads=1)
SHORT = {"epochs": 2, "steps": 6, "batch": 64}


class Told:
    """What was said on the way."""

    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)

    def results(self, result):
        pass


@pytest.fixture(scope="module")
def asked(digits, tmp_path_factory):
    """An encoder file, and labelled digits to learn from and to be judged by."""
    folder = tmp_path_factory.mktemp("finetune")
    pixels, labels = digits
    for name, part in (("train", slice(0, 200)), ("test", slice(200, 300))):
        np.savez(folder / f"{name}.npz", images=pixels[part], labels=labels[part])
    recipe = override(v2(), {"encoder.backbone": "resnet10w16", "encoder.stem": "small", "image_size": 16})
    torch.manual_seed(3)
    save_encoder(folder / "encoder.pt", build_encoder(recipe.encoder)[0], recipe, 10)
    return {
        "encoder": folder / "encoder.pt",
        "train": folder / "train.npz",
        "test": folder / "test.npz",
        "machine": MACHINE,
    }


def test_all_images_are_learnt_from_and_the_last_epoch_is_reported_beside_an_untrained_encoder_at_its_own_rate(asked):
    (result,) = evaluate(protocols=[Finetune(**SHORT)], **asked)
    assert list(result.rows) == ["this encoder", "untrained"], "pixels have nothing to tune"
    assert result.columns == ["accuracy", "top 5", "the rate"]
    assert [cells[-1].value for cells in result.rows.values()] == [0.025, 0.1]
    for name, cells in result.rows.items():
        last, top5, _ = (cell.value for cell in cells)
        low, high = cells[0].interval
        assert 0 <= low <= last <= high <= 1
        assert last <= top5
        assert last <= result.settings["best_epoch"][name]
    assert result.settings["epochs"] == 2
    assert result.settings["steps"] == 6
    assert "2 epochs of 200 images, judged on 100" in result.title
    (again,) = evaluate(protocols=[Finetune(**SHORT)], **asked)
    assert again.rows == result.rows


def test_judging_takes_no_more_images_than_learning(asked, monkeypatch):
    seen = []

    def tune(module, lesson, exam, lr, settings, placement, every=None):
        seen.append(every)
        return [np.zeros(len(exam.labels), dtype=np.int64)]

    monkeypatch.setattr("moco.protocols.finetune.tune", tune)
    monkeypatch.setattr("moco.protocols.finetune.lesson_of", lambda *a: (whole := lesson_of(*a)).at(whole.rows[:30]))
    evaluate(protocols=[Finetune(**SHORT)], **asked)
    assert seen == [4, 4], "100 judged, 30 learnt"


def test_a_rate_is_chosen_for_each_encoder_and_never_on_the_judged_images(asked, monkeypatch):
    learnt, judged = [], []

    def tune(module, lesson, exam, lr, settings, placement, every=None):
        learnt.append((len(lesson.rows), lr))
        judged.append(len(exam.labels))
        return [np.full(len(exam.labels), 0 if lr == 0.5 else 7)]

    for place in ("finetune", "tuning"):
        monkeypatch.setattr(f"moco.protocols.{place}.tune", tune)
    (result,) = evaluate(protocols=[Finetune(lrs=(0.1, 0.5, 1.0), **SHORT)], **asked)
    assert [lr for _, lr in learnt] == [0.1, 0.5, 1.0, 0.5] * 2
    assert [n for n, _ in learnt] == [160, 160, 160, 200] * 2
    assert judged == [40, 40, 40, 100] * 2, "held back from the training images, then the judged ones once"
    assert "held back" in result.note


def test_few_labels_are_tuned_on_the_draws_of_the_probe_with_random_always_beside(asked, monkeypatch):
    drawn = {}
    for place in ("few_labels", "few_labels_finetune"):
        from moco.protocols.labels import draw_labels as real

        def draw(labels, keys, amount, seed, number, place=place):
            rows = real(labels, keys, amount, seed, number)
            drawn.setdefault(place, set()).add((str(amount), number, tuple(rows)))
            return rows

        monkeypatch.setattr(f"moco.protocols.{place}.draw_labels", draw)
    amounts = ("1", "10%")
    protocols = [FewLabels(amounts=amounts, draws=2), FewLabelsFinetune(amounts=amounts, draws=2, **SHORT)]
    told = Told()
    probe, tuned = evaluate(protocols=protocols, against=("pixels",), tell=told, **asked)
    assert drawn["few_labels"] == drawn["few_labels_finetune"]
    assert len(drawn["few_labels"]) == 4
    assert list(probe.rows) == ["this encoder", "pixels", "untrained"]
    assert list(tuned.rows) == ["this encoder", "untrained"]
    assert probe.columns == tuned.columns == ["1 per class", "10% (20 images)"]
    assert tuned.settings["rates"] == {"this encoder": [[0.025] * 2] * 2, "untrained": [[0.1] * 2] * 2}
    for result in (probe, tuned):
        assert "this encoder" in result.note
        for cells in result.rows.values():
            for cell in cells:
                low, high = cell.interval
                assert low <= cell.value <= high
    assert any("one draw of the labels is done" in note for note in told.notes)


def test_numbers_that_the_smallest_class_does_not_have_are_left_out_and_shares_never_are(asked):
    (result,) = evaluate(protocols=[FewLabels(amounts=("2", "500", "100%"), draws=2)], **asked)
    assert result.columns == ["2 per class", "100% (200 images)"]
    with pytest.raises(MocoError, match="--few 500 needs as many images of each class"):
        evaluate(protocols=[FewLabelsFinetune(amounts=("500",), **SHORT)], **asked)


@pytest.mark.parametrize("wrong", [{"amounts": ()}, {"amounts": ("0",)}, {"draws": 0}])
def test_impossible_amounts_and_draws_are_refused(wrong):
    for protocol in (FewLabels, FewLabelsFinetune):
        with pytest.raises(MocoError, match="--few"):
            protocol(**wrong)


def test_each_draw_starts_from_another_random_initialisation_and_from_the_same_encoder(asked, monkeypatch):
    started = {}

    def tune(module, lesson, exam, lr, settings, placement, every=None):
        started.setdefault(lr, []).append(next(module.parameters()).detach().clone())
        return [np.zeros(len(exam.labels), dtype=np.int64)]

    monkeypatch.setattr("moco.protocols.few_labels_finetune.tune", tune)
    evaluate(protocols=[FewLabelsFinetune(amounts=("1", "2"), draws=2)], **asked)
    first, same, other, _ = started[0.1]
    assert torch.equal(first, same), "both amounts of a draw"
    assert not torch.equal(first, other)
    assert all(torch.equal(started[0.025][0], weight) for weight in started[0.025])


def test_flags_reach_the_protocol_they_belong_to_and_those_not_given_leave_its_defaults():
    flags = {"few_amounts": ("1%",), "few_draws": None, "finetune_lrs": (0.1,), "finetune_epochs": None, "knn_k": (3,)}
    assert named_protocol("few-labels-finetune", flags) == FewLabelsFinetune(amounts=("1%",), lrs=(0.1,))
    assert named_protocol("few-labels", flags | {"few_draws": 3}) == FewLabels(amounts=("1%",), draws=3)
    assert named_protocol("finetune", flags) == Finetune(lrs=(0.1,))


def test_an_encoder_of_another_size_is_judged_beside_and_named(asked, tmp_path):
    recipe = override(v2(), {"encoder.backbone": "resnet10w8", "encoder.stem": "small", "image_size": 24})
    save_encoder(tmp_path / "other.pt", build_encoder(recipe.encoder)[0], recipe, 1)
    protocols = [FewLabelsFinetune(amounts=("2",), draws=2, **SHORT)]
    (result,) = evaluate(protocols=protocols, against=(str(tmp_path / "other.pt"),), **asked)
    assert list(result.rows) == ["this encoder", str(tmp_path / "other.pt"), "untrained"]
    assert (
        f"Beside another encoder (fine-tuned end to end): this encoder minus {tmp_path / 'other.pt'} is" in result.note
    )
