"""Batches on the device before they are needed: the next one is copied while a step runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import torch

from moco.data.loader import Batch

T = TypeVar("T")
S = TypeVar("S")


def ahead(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """The same batches, in the same order, with their pixels on the device.

    On a GPU the pixels of the next batch go there from pinned memory on a stream of their own, so that neither the
    host nor the running step waits for them; they are uint8, a quarter of the bytes of finished views. On a CPU the
    batches are what they were.
    """
    if device.type != "cuda":
        return iter(batches)
    side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return one_ahead(batches, lambda batch: _send(batch, device, side), lambda sent: _receive(*sent, device))


def one_ahead(items: Iterable[S], send: Callable[[S], T], receive: Callable[[T], S]) -> Iterator[S]:
    """Each item sent and received, in order; the next one is sent before one is given out."""
    waiting: list[T] = []
    for item in items:
        waiting.append(send(item))
        if len(waiting) == 2:
            yield receive(waiting.pop(0))
    for last in waiting:
        yield receive(last)


def _send(batch: Batch, device: torch.device, side: torch.cuda.Stream) -> tuple[Batch, torch.cuda.Event]:
    with torch.cuda.stream(side):
        return _there(batch, device), side.record_event()


def _there(batch: Batch, device: torch.device) -> Batch:
    """The batch, and that of its keys where it has one, on the device."""
    pixels = batch.pixels.pin_memory().to(device, non_blocking=True)
    return dataclasses.replace(batch, pixels=pixels, keys=None if batch.keys is None else _there(batch.keys, device))


def _receive(batch: Batch, copied: torch.cuda.Event, device: torch.device) -> Batch:
    """The step's stream, not the host, waits for the copy; the memory is not used again before the step is done."""
    stream = torch.cuda.current_stream(device)
    stream.wait_event(copied)
    for sent in [batch] if batch.keys is None else [batch, batch.keys]:
        sent.pixels.record_stream(stream)
    return batch
