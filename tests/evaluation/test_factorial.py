"""Main effects and interactions equal sums written out by hand, and least squares where the design is whole."""

import itertools

import numpy as np
import pandas as pd
import pytest

from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.evaluation.factorial import Scored, effects
from ecg_ramba.evaluation.report import write_report


def cell(**levels):
    return tuple(sorted(levels.items()))


def design(rng, draws=50, without=()):
    """Every combination of three factors, scored at random."""
    cells = {}
    for a, b, c in itertools.product(("off", "on"), ("off", "on"), ("mamba", "attention", "resnet")):
        if (a, b) not in without:
            cells[cell(hrv=a, rocket=b, backbone=c)] = Scored(float(rng.random()), rng.random(draws))
    return cells


def test_main_effects_of_a_whole_design_are_those_of_least_squares():
    cells = design(np.random.default_rng(0))
    found = {e.name: e for e in effects(cells, 0.95)}
    y = np.array([s.value for s in cells.values()])
    x = np.array(
        [[1, d["hrv"] == "on", d["rocket"] == "on", d["backbone"] == "attention", d["backbone"] == "resnet"]
         for d in map(dict, cells)], float
    )  # fmt: skip
    _, hrv, rocket, attention, resnet = np.linalg.lstsq(x, y, rcond=None)[0]
    assert found["hrv: off - on"].value == pytest.approx(-hrv)
    assert found["rocket: off - on"].value == pytest.approx(-rocket)
    assert found["backbone: mamba - attention"].value == pytest.approx(-attention)
    assert found["backbone: attention - resnet"].value == pytest.approx(attention - resnet)
    assert found["hrv: off - on"].contrasts == 6
    assert found["backbone: mamba - attention"].contrasts == 4


def test_interactions_and_intervals_by_hand_where_a_cell_is_missing():
    cells = design(np.random.default_rng(1), without=(("off", "off"),))
    found = {e.name: e for e in effects(cells, 0.9)}
    names = ("mamba", "attention", "resnet")

    def at(a, b, c, draws=False):
        scored = cells[cell(hrv=a, rocket=b, backbone=c)]
        return scored.draws if draws else scored.value

    hrv = [at("on", "on", c) - at("off", "on", c) for c in names]
    assert found["hrv: off - on"].value == pytest.approx(-np.mean(hrv))
    assert found["hrv: off - on"].contrasts == 3
    low, high = np.quantile(
        np.mean([at("off", "on", c, True) - at("on", "on", c, True) for c in names], axis=0), [0.05, 0.95]
    )
    assert (found["hrv: off - on"].low, found["hrv: off - on"].high) == pytest.approx((low, high))
    square = at("off", "on", "mamba") - at("on", "on", "mamba") - (
        at("off", "on", "attention") - at("on", "on", "attention")
    )  # fmt: skip
    name = "backbone x hrv: (mamba - attention) at off - on"
    assert found[name].value == pytest.approx(square)
    assert found[name].contrasts == 1
    assert not [n for n in found if n.startswith("hrv x rocket")], "no square without the missing cell"


def test_without_draws_there_is_no_interval():
    cells = design(np.random.default_rng(2))
    first = cell(hrv="off", rocket="off", backbone="mamba")
    cells[first] = Scored(cells[first].value, None)
    found = {e.name: e for e in effects(cells, 0.95)}
    assert all(np.isfinite(e.value) for e in found.values())
    assert np.isnan(found["hrv: off - on"].low)
    assert np.isnan(found["backbone: mamba - resnet"].low)
    assert np.isfinite(found["backbone: attention - resnet"].low)


def test_a_suite_with_factors_has_effects_and_they_are_those_of_its_table(fake_suite):
    skills = {"ecg_ramba": 2.0, "no_hrv": 1.0, "attention": 2.0, "attention_no_hrv": 1.0}
    suite = fake_suite(skills=skills, n=500, poolings=False)
    for row in suite.variants:
        row["factors"] = {
            "backbone": "attention" if "attention" in row["name"] else "mamba",
            "hrv": "off" if "no_hrv" in row["name"] else "on",
        }
    evaluation = evaluate(suite.write(), EvaluationConfig(draws=200, permutations=100))
    assert set(evaluation.factorial) == {t["task"] for t in suite.tasks if t["task"] != "synthetic-third-superclass"}
    files = write_report(evaluation, suite.folder)
    assert "effects.csv" in {f.name for f in files}
    table = pd.read_csv(suite.folder / "report" / "effects.csv")
    assert set(table["data"]) == {"synthetic"}
    text = files[0].read_text()
    assert "### Synthetic: source: streams by backbone" in text
    assert "| streams | mamba | attention |" in text
    assert "| hrv: on - off | +0." in text
    for task, found in evaluation.factorial.items():
        assert table[table["task"] == task]["value"].to_numpy() == pytest.approx([e.value for e in found])
        rows = evaluation.summary[evaluation.summary["task"] == task].drop_duplicates("variant")
        value = dict(zip(rows["variant"], rows["value"], strict=True))
        by_name = {e.name: e for e in found}
        hrv = np.mean([value["ecg_ramba"] - value["no_hrv"], value["attention"] - value["attention_no_hrv"]])
        assert by_name["hrv: on - off"].value == pytest.approx(hrv)
        if task in ("source", "synthetic-third"):
            assert by_name["hrv: on - off"].low > 0
            assert abs(by_name["backbone: mamba - attention"].value) < hrv / 3


def test_variants_that_name_other_factors_are_no_pair():
    one, two = (("backbone", "mamba"),), (("backbone", "none"),)
    cells = {one: Scored(0.8, None), two: Scored(0.7, None), (("colour", "red"),): Scored(0.6, None),
             (("colour", "blue"), ("shape", "round")): Scored(0.5, None)}  # fmt: skip
    (found,) = effects(cells, 0.95)
    assert (found.name, found.contrasts, round(found.value, 9)) == ("backbone: mamba - none", 1, 0.1)
