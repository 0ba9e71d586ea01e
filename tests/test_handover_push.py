"""Nothing goes to the hub unless it is asked for, and then as one private model."""

from types import SimpleNamespace

import huggingface_hub
import pytest

from moco import MocoError, export
from moco.handover.push import push


class Hub:
    """Takes note instead of sending."""

    def __init__(self, fails=False):
        self.asked, self.fails = [], fails

    def create_repo(self, name, **options):
        self.asked.append(("create", name, options))
        if self.fails:
            raise OSError("401: Repository Not Found\nmore")
        return f"https://hub/{name}"

    def upload_folder(self, **options):
        names = sorted(p.name for p in options["folder_path"].iterdir())
        self.asked.append(("upload", options["repo_id"], names))


@pytest.fixture
def hub(monkeypatch):
    made = Hub()
    monkeypatch.setattr(huggingface_hub, "HfApi", type("HfApi", (), {"__new__": lambda cls: made}))
    return made


def test_an_export_is_sent_only_where_it_is_asked_for(hub, tmp_path):
    export("torchvision:resnet18", "huggingface", tmp_path / "a")
    assert hub.asked == []
    told = SimpleNamespace(said=[], note=lambda text: told.said.append(text))
    done = export("torchvision:resnet18", "huggingface", tmp_path / "b", push="ada/photos", tell=told)
    assert done.address == "https://hub/ada/photos"
    created, uploaded = hub.asked
    assert created == ("create", "ada/photos", {"repo_type": "model", "private": True, "exist_ok": True})
    assert uploaded[1] == "ada/photos"
    assert {"README.md", "config.json", "model.safetensors", "preprocessor_config.json"} <= set(uploaded[2])
    assert told.said[-1] == "sent to https://hub/ada/photos"
    assert 'from_pretrained("ada/photos"' in (tmp_path / "b" / "README.md").read_text()
    assert 'from_pretrained("FOLDER"' in (tmp_path / "a" / "README.md").read_text()


def test_a_hub_that_refuses_is_quoted_and_the_folder_stays(hub, tmp_path):
    hub.fails = True
    (tmp_path / "README.md").write_text("card")
    with pytest.raises(MocoError, match=r"nothing or not all was sent \(401: Repository Not Found\).*hf auth login"):
        push(tmp_path, "ada/photos")
    assert (tmp_path / "README.md").exists()
