"""What JupyterLab is started with."""

from edgelab.commands import lab


def test_kernels_find_what_relative_variables_name(tmp_path, monkeypatch):
    """A kernel's folder is `notebooks/`, not the one in which the command was typed."""
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("DATA", "DATASET", "MODEL"):
        monkeypatch.setenv(f"EDGELAB_{name}", "mine")
    monkeypatch.setenv("EDGELAB_ARTIFACTS", "made")
    found = lab.places()
    assert {found[f"EDGELAB_{name}"] for name in ("DATA", "DATASET", "MODEL")} == {str(tmp_path / "mine")}
    assert found["EDGELAB_ARTIFACTS"] == str(tmp_path / "made")


def test_a_data_set_by_name_stays_a_name(monkeypatch):
    monkeypatch.setenv("EDGELAB_DATASET", "shapes")
    monkeypatch.delenv("EDGELAB_PROFILE", raising=False)
    assert lab.places()["EDGELAB_DATASET"] == "shapes" and "EDGELAB_PROFILE" not in lab.places()
