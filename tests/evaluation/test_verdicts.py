"""Verdicts: helps, hurts, equivalent, not decidable; none from a single training run."""

import numpy as np
import pytest

from ecg_ramba.evaluation.config import BELOW_SUPPORT, PROTOCOL_SUPPORT, EvaluationConfig
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.evaluation.flat import verdict_tags
from ecg_ramba.evaluation.report import write_report
from ecg_ramba.evaluation.verdicts import verdict

CONFIG = EvaluationConfig()


@pytest.mark.parametrize(
    ("mean", "sd", "expected"),
    [
        (0.10, 0.02, "helps"),
        (-0.10, 0.02, "hurts"),
        (0.0, 0.005, "equivalent"),
        (0.010, 0.004, "equivalent"),  # told from zero, and still within the margin
        (0.0, 0.05, "not decidable"),
        (0.015, 0.009, "not decidable"),  # 90 % interval reaches 0.03, 95 % interval reaches below 0
        (0.03, 0.009, "helps"),
    ],
)
def test_words(mean, sd, expected):
    draws = mean + sd * np.random.default_rng(0).standard_normal(20_000)
    assert verdict(draws, PROTOCOL_SUPPORT, 3, CONFIG) == expected
    mirrored = {"helps": "hurts", "hurts": "helps"}.get(expected, expected)
    assert verdict(-draws, PROTOCOL_SUPPORT, 3, CONFIG) == mirrored
    assert verdict(draws, PROTOCOL_SUPPORT, 1, CONFIG) == ""
    assert verdict(draws, PROTOCOL_SUPPORT, 2, CONFIG) == ""
    assert verdict(draws, BELOW_SUPPORT, 3, CONFIG) == "not decidable"


def test_nothing_to_judge_by_decides_nothing():
    assert verdict(None, PROTOCOL_SUPPORT, 3, CONFIG) == "not decidable"
    assert verdict(np.full(5, np.nan), PROTOCOL_SUPPORT, 3, CONFIG) == "not decidable"


def test_the_two_one_sided_tests_reject_a_true_difference_of_the_margin_one_time_in_twenty():
    rng, sd = np.random.default_rng(1), 0.004
    said = [
        verdict(CONFIG.margin + sd * (rng.standard_normal() + rng.standard_normal(2000)), PROTOCOL_SUPPORT, 3, CONFIG)
        for _ in range(2000)
    ]
    assert 0.035 < np.mean([s == "equivalent" for s in said]) < 0.065


@pytest.mark.slow
def test_in_the_report_of_three_seeds_and_not_of_one(fake_suite):
    for seeds in (1, 3):
        skills = {"ecg_ramba": 3.0, "worse": 1.0, "same": 3.0}
        suite = fake_suite(f"suite{seeds}", n=400, seeds=seeds, rhythm=False, poolings=False, skills=skills)
        evaluation = evaluate(suite.write(), EvaluationConfig(draws=300, permutations=100))
        rows = evaluation.summary[
            (evaluation.summary["metric"] == "roc_auc") & (evaluation.summary["task"] == "synthetic-third")
        ].drop_duplicates("variant")
        said = dict(zip(rows["variant"], rows["verdict"], strict=True))
        text = write_report(evaluation, suite.folder)[0].read_text()
        if seeds == 1:
            assert set(said.values()) == {""}
            assert "No verdicts: 1 training run of each variant, 3 are needed" in text
            assert "| verdict |" not in text
        else:
            assert said == {"ecg_ramba": "", "worse": "helps", "same": "equivalent"}
            assert "| verdict | on the gap |" in text
            tags = verdict_tags(evaluation, "worse")
            assert (tags["verdict/source"], tags["verdict/synthetic-third"]) == ("helps", "helps")
            assert set(tags) >= {"verdict/synthetic-third/gap"}
            assert verdict_tags(evaluation, "ecg_ramba") == {}
            assert "whether what the reference has, and the variant lacks, helps or hurts" in text
