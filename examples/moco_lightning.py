"""Momentum Contrast as a LightningModule of 30 lines, on any number of GPUs: pip install 'momentum-contrast[examples]'.

python examples/moco_lightning.py
"""

import copy

import lightning
import torch
from torch import Tensor

import moco


class MoCo(lightning.LightningModule):
    """MoCo v2 on batches of (images uint8 N x 3 x H x W, which images they are)."""

    def __init__(
        self, backbone: str = "resnet18", size: int = 32, keys: int = 4096, group: int = 32, m: float = 0.999,
        temperature: float = 0.2, lr: float = 0.03, epochs: int = 200,
    ) -> None:  # fmt: skip
        super().__init__()
        self.save_hyperparameters()
        self.f_q = moco.group_batch_norm(moco.build_encoder(backbone, stem="small"), group)
        self.f_k = copy.deepcopy(self.f_q).requires_grad_(False)
        self.queue = moco.Queue(keys, dim=128)
        self.views = moco.views("photos", size=size)

    def training_step(self, batch: tuple[Tensor, Tensor], number: int) -> Tensor:
        images, index = batch
        x_q, x_k = self.views(images, index.cpu(), self.current_epoch)
        q, self.k = self.f_q(x_q), moco.shuffled_keys(self.f_k, x_k, step=self.global_step)
        loss = moco.info_nce(q, *self.queue.look_up(self.k), temperature=self.hparams["temperature"]).loss
        self.log("loss", loss)
        return loss

    def on_train_batch_end(self, *_: object) -> None:  # the optimizer has made its step
        moco.momentum_update_(self.f_k, self.f_q, self.hparams["m"])
        self.queue.update(self.k)

    def configure_optimizers(self) -> dict[str, object]:
        optimizer = torch.optim.SGD(self.f_q.parameters(), self.hparams["lr"], momentum=0.9, weight_decay=1e-4)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.hparams["epochs"])
        return {"optimizer": optimizer, "lr_scheduler": schedule}


def main() -> None:
    """A few steps, to see that it runs; moco_in_25_lines.py learns something."""
    from moco_in_25_lines import drawings

    images, _ = drawings("validation")
    data = torch.utils.data.TensorDataset(images, torch.arange(len(images)))
    loader = torch.utils.data.DataLoader(data, batch_size=64, shuffle=True, drop_last=True)
    model = MoCo("resnet18w16", size=16, keys=512, m=0.99, epochs=2)
    trainer = lightning.Trainer(max_epochs=2, logger=False, enable_checkpointing=False)
    trainer.fit(model, loader)
    print(f"loss {trainer.callback_metrics['loss']:.3f}")


if __name__ == "__main__":
    main()
