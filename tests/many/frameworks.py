"""What each of two processes does: the example of a framework on 64 images; the first writes the losses of both.

torchrun --nproc-per-node 2 frameworks.py lightning|accelerate IMAGES.npy LOSSES.json
"""

import json
import os
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "examples"))
warnings.simplefilter("ignore")
torch.set_num_threads(1)
SMALL = {"size": 16, "keys": 40, "group": 4}


def with_lightning(images):
    import lightning
    from moco_lightning import MoCo

    rank = int(os.environ["RANK"])
    own = [torch.arange(first, first + 16)[rank * 8 : rank * 8 + 8] for first in range(0, 64, 16)]
    loader = torch.utils.data.DataLoader([(images[i], i) for i in own], batch_size=None)
    losses = []

    class Heard(lightning.Callback):
        def on_train_batch_end(self, trainer, module, outputs, batch, number):
            losses.append(outputs["loss"].detach())

    torch.manual_seed(0)
    model = MoCo("resnet10w8", epochs=2, **SMALL)
    trainer = lightning.Trainer(
        accelerator="cpu", devices=2, strategy="ddp", max_epochs=2, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False, callbacks=[Heard()],
    )  # fmt: skip
    trainer.fit(model, loader)
    return losses, model.queue.keys


def with_accelerate(images):
    import moco_accelerate

    import moco

    queues = []
    made = moco.Queue

    def seen(*given, **named):
        queues.append(made(*given, **named))
        return queues[-1]

    moco.Queue = seen
    data = torch.utils.data.TensorDataset(images, torch.arange(64))
    loader = torch.utils.data.DataLoader(data, batch_size=16)
    losses = [loss for _, _, loss in moco_accelerate.train(loader, 2, "resnet10w8", cpu=True, **SMALL)]
    return losses, queues[0].keys


def main():
    framework, images, out = sys.argv[1:]
    pixels = torch.from_numpy(np.load(images)).permute(0, 3, 1, 2).contiguous()
    losses, keys = {"lightning": with_lightning, "accelerate": with_accelerate}[framework](pixels)
    means = torch.stack(losses)
    dist.all_reduce(means)
    both = [torch.empty_like(keys) for _ in range(2)]
    dist.all_gather(both, keys.contiguous())
    if dist.get_rank() == 0:
        found = {
            "losses": (means / dist.get_world_size()).tolist(),
            "processes": dist.get_world_size(),
            "queues_apart": float((both[0] - both[1]).abs().max()),
        }
        Path(out).write_text(json.dumps(found))
    dist.barrier()
    dist.destroy_process_group()  # its threads, left to the end of the process, abort it now and then


main()
