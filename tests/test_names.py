"""What `import moco` offers works whatever else was imported."""

import pytest

import moco
import moco.pages.page
import moco.protocols.knn


@pytest.mark.parametrize("name", ["evaluate", "report"])
def test_functions_can_be_called_after_their_rooms_were_imported(name, tmp_path):
    for _ in range(2):
        with pytest.raises(moco.MocoError, match="nowhere"):
            getattr(moco, name)(*[str(tmp_path / "nowhere")] * (2 if name == "evaluate" else 1))
    assert moco.protocols.knn.KNN(k=(1,)).k == (1,)
