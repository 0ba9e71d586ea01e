"""What `import moco` offers works whatever else was imported."""

import pytest

import moco
import moco.evaluate.knn
import moco.report.page


@pytest.mark.parametrize("name", ["evaluate", "report"])
def test_a_function_can_be_called_where_a_folder_has_its_name(name, tmp_path):
    for _ in range(2):
        with pytest.raises(moco.MocoError, match="nowhere"):
            getattr(moco, name)(*[str(tmp_path / "nowhere")] * (2 if name == "evaluate" else 1))
    assert moco.evaluate.knn.KNN(k=(1,)).k == (1,)
