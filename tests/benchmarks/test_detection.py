"""The detection benchmark reports what was measured: worst material, shares, a table of full rows."""

import detection
import pytest
from scoring import VALIDATION, specimens


def _row(material, dose, f1, filled):
    return {
        "material": material, "source": "validation", "pixel_size": "given", "dose": dose, "f1": f1, "precision": 1.0,
        "recall": f1, "rmse_pm": 5.0, "vacancies": 10, "filled": filled,
    }  # fmt: skip


def test_the_summary_names_the_worst_material_of_each_dose():
    rows = [_row("a", 300, 0.9, 1), _row("b", 300, 0.7, 0), _row("a", 60, 0.5, 0)]
    first, second = detection.summarise(rows)
    assert (first["dose"], first["worst_material"], first["f1_worst"]) == (300, "b", 0.7)
    assert first["f1_mean"] == pytest.approx(0.8)
    assert first["share_filled"] == pytest.approx(1 / 20)
    assert second["dose"] == 60 and second["materials"] == 1
    table = detection.table([first, second])
    assert all(len(row) == len(table["columns"]) for row in table["rows"])


def test_an_unknown_material_is_refused_by_name():
    with pytest.raises(SystemExit, match="unobtainium"):
        detection.materials(["unobtainium"], with_bench=False)


def test_a_callable_is_found_by_name_and_scored():
    find = detection.named_callable("peers:laplacian_told_the_spacing")
    chosen = {"wse2": ("validation", specimens(VALIDATION)["wse2"])}
    rows = detection.score_all(find, chosen, doses=[3000], seeds=1, pixel_size="given", report=lambda _line: None)
    assert rows[0]["f1"] > 0.98 and rows[0]["vacancies"] == 5
