"""Sending a folder to the Hugging Face hub: only where it is asked for, private until its owner says otherwise."""

from __future__ import annotations

import re
from pathlib import Path

from moco.errors import MocoError
from moco.handover.absent import needs
from moco.handover.huggingface import PLACE
from moco.run.atomic import write_text


def refuse_bad_name(name: str) -> None:
    """Raise MocoError unless it is USER/NAME."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name):
        raise MocoError(f"--push {name}: write USER/NAME, such as --push ada/photos")
    needs("--push", "huggingface_hub")


def push(folder: Path, name: str) -> str:
    """Upload a folder as the model USER/NAME, made private if it is new; its address.

    Raises MocoError where the hub refuses or cannot be reached.
    """
    from huggingface_hub import HfApi

    card = folder / "README.md"
    write_text(card, card.read_text(encoding="utf-8").replace(f'"{PLACE}"', f'"{name}"'))
    api = HfApi()
    try:
        address = api.create_repo(name, repo_type="model", private=True, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder, commit_message="Encoder with its card")
    except Exception as error:  # the hub, the network and the token each fail in their own way
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise MocoError(
            f"--push {name}: nothing or not all was sent ({reason}); {folder} is whole. Log in with `hf auth login`, "
            "then run the same command again"
        ) from None
    return str(address)
