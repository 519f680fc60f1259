"""Token lengths: what is equal is equal, contrasts are those by hand, and a failed variant is a gap with its reason."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

import studies.__main__
import studies.running
from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.evaluation.factorial import Scored
from ecg_ramba.harness.executors.local import local
from ecg_ramba.harness.progress import Progress
from ecg_ramba.harness.suite import run_suite
from ecg_ramba.harness.variants import all_variants
from ecg_ramba.models import PROFILES, InputShape, model_spec
from studies.lengths.study import BACKBONES, PATCHES, TOLERANCE, block_parameters, chosen, contrasts, variants
from studies.lengths.text import write_lengths

WHOLE = InputShape(samples=5000)


@pytest.mark.parametrize("profile", PROFILES)
def test_tokens_are_as_many_as_said_and_parameters_equal_at_every_length(profile):
    made = variants(PATCHES, profile)
    assert [v.name for v in made[:3]] == ["attention_5000", "mamba_5000", "attention_2500"], "the longest first"
    blocks, whole = {}, {}
    for variant in made:
        backbone, tokens = variant.name.split("_")
        config = variant.configuration(profile)
        with torch.device("meta"):
            network = model_spec(variant.model).build(config, WHOLE)
        assert network.patches.tokens == int(tokens)
        blocks[backbone, tokens] = block_parameters(variant.model, config)
        whole[backbone, tokens] = sum(p.numel() for p in network.parameters())
        rest = (network.patches, network.norm, network.head)
        assert whole[backbone, tokens] - blocks[backbone, tokens] == sum(
            p.numel() for module in rest for p in module.parameters()
        ), "nothing else has parameters that a length could change"
    for backbone in BACKBONES:
        assert len({blocks[backbone, str(n)] for n in PATCHES}) == 1
    for counts in (blocks, whole):
        for tokens in map(str, PATCHES):
            pair = counts["mamba", tokens], counts["attention", tokens]
            assert max(pair) - min(pair) <= TOLERANCE * max(pair)


def test_the_suites_own_list_does_not_grow():
    assert not {v.name for v in variants(PATCHES, "small")} & set(all_variants())


def test_unknown_lengths_are_refused_with_those_there_are(capsys):
    assert chosen([625, 157, 625]) == (157, 625)
    with pytest.raises(UserError, match="--tokens 100: 10 s are cut into 157, 313, 625, 1250, 2500, 5000 tokens"):
        chosen([157, 100])
    assert studies.__main__.main(["lengths", "--tokens", "100"]) == 2
    assert "error: --tokens 100" in capsys.readouterr().err


def evaluation_of(headlines, seeds, support="protocol"):
    """As much of an evaluation as contrasts read."""
    context = SimpleNamespace(head=SimpleNamespace(support=support))
    return SimpleNamespace(
        suite=SimpleNamespace(synthetic=True, n_seeds=seeds),
        config=EvaluationConfig(),
        contexts=dict.fromkeys(headlines, context),
        headlines=headlines,
    )


def test_contrasts_by_hand():
    rng, tokens = np.random.default_rng(0), (157, 625, 5000)
    points = {"mamba": (0.6, 0.7, 0.9), "attention": (0.65, 0.7, 0.72)}
    scored = {
        f"{b}_{n}": Scored(p, p + rng.normal(0, 0.003, 400))
        for b, of in points.items()
        for n, p in zip(tokens, of, strict=True)
    }
    table = contrasts(evaluation_of({"source": scored}, 3), ["source"], tokens).set_index(["contrast", "tokens"])
    for i, (count, said) in enumerate(zip(tokens, ("attention higher", "equivalent", "Mamba higher"), strict=True)):
        row = table.loc[("mamba - attention", str(count))]
        assert row["value"] == pytest.approx(points["mamba"][i] - points["attention"][i])
        paired = scored[f"mamba_{count}"].draws - scored[f"attention_{count}"].draws
        assert (row["lo"], row["hi"]) == pytest.approx(tuple(np.quantile(paired, [0.025, 0.975])))
        assert row["verdict"] == said
    x = np.log2(tokens)
    fitted = {}
    for backbone, of in points.items():
        draws = np.stack([scored[f"{backbone}_{n}"].draws for n in tokens])
        fitted[backbone] = np.polyfit(x, of, 1)[0], np.polyfit(x, draws, 1)[0]
    fitted["mamba - attention"] = tuple(a - b for a, b in zip(fitted["mamba"], fitted["attention"], strict=True))
    for name, (value, draws) in fitted.items():
        row = table.loc[(f"slope: {name}", "all")]
        assert row["value"] == pytest.approx(value)
        assert (row["lo"], row["hi"]) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])))
        assert row["verdict"] == ""
        assert row["lengths"] == 3


def test_a_length_without_both_backbones_has_no_contrast_and_one_length_no_slope():
    scored = {name: Scored(0.7, None) for name in ("mamba_157", "attention_157", "mamba_313")}
    table = contrasts(evaluation_of({"source": scored, "other": {}}, 1), ["source", "other"], (157, 313))
    assert table["contrast"].tolist() == ["mamba - attention"]
    assert table["tokens"].tolist() == ["157"]
    assert np.isnan(table["lo"]).all()
    assert table["verdict"].tolist() == [""], "one training run"


@pytest.fixture(scope="module")
def broken(tiny, cohort, tmp_path_factory):
    """A study in which attention over 313 tokens cannot be built."""
    out = tmp_path_factory.mktemp("lengths")
    first, *good = variants((157, 313), "small")
    made = [dataclasses.replace(first, changes={**first.changes, "width": 97}), *good]
    result = run_suite(tiny, made, cohort, out, local(1), Progress(), "test")
    evaluation = evaluate(result.folder)
    return result, evaluation, write_lengths(result, evaluation, out / "broken")


def test_a_failed_variant_is_a_row_with_its_reason_and_the_others_go_on(broken):
    _, evaluation, (text, scores, compared, figure) = broken
    assert set(evaluation.failures) == {"attention_313"}
    table = pd.read_csv(scores)
    failed = table[(table["backbone"] == "attention") & (table["tokens"] == 313)]
    assert set(failed["status"]) == {"failed"}
    assert failed["reason"].str.contains("97 is not a multiple of 6 heads").all()
    assert failed["value"].isna().all()
    assert failed["parameters"].isna().all()
    assert (table[table["backbone"] == "mamba"]["status"] == "ok").all()
    assert set(pd.read_csv(compared)["tokens"]) == {157}
    assert figure.read_bytes()[:4] == b"\x89PNG"
    said = text.read_text()
    assert "| attention, 313 tokens | fold 1, seed 0: ValueError: width 97 is not a multiple of 6 heads |" in said
    assert "No slopes: fewer than two lengths have both backbones." in said


def test_scores_are_those_of_the_suite_and_costs_those_of_its_cells(broken):
    result, evaluation, (_, scores, _, _) = broken
    table = pd.read_csv(scores)
    assert set(table["task"]) == {"source", "synthetic-rhythm-window", "synthetic-third"}
    for row in table[table["status"] == "ok"].to_dict("records"):
        name = f"{row['backbone']}_{row['tokens']}"
        summary = evaluation.summary
        same = summary[
            (summary["task"] == row["task"]) & (summary["variant"] == name) & (summary["metric"] == "roc_auc")
        ]
        same = same[same["estimate"].isin(["mean over folds", "ensemble of fold models"])]
        assert row["value"] == pytest.approx(same["value"].item(), nan_ok=True)
        assert row["lo"] == pytest.approx(same["lo"].item(), nan_ok=True)
        logs = [c["log"] for c in result.cells[name]]
        assert row["cells"] == len(logs) == 2
        assert row["train_seconds"] == pytest.approx(sum(log["seconds"] for log in logs))
        assert row["steps"] == sum(log["schedule"]["steps"] for log in logs)
        assert row["segment_seconds"] == pytest.approx(row["train_seconds"] / row["steps"] / row["batch"])
        assert row["parameters"] == logs[0]["parameters"]
        assert row["flops"] == pytest.approx(logs[0]["flops"])


def test_the_command_says_synthetic_single_run_and_what_was_not_run(broken, cohort, tiny, monkeypatch, capsys):
    out = broken[0].context.out  # cells that are there already are not run again
    original, logged = studies.running.suite_config, []
    monkeypatch.setattr(studies.running, "suite_config", lambda o: dataclasses.replace(original(o), budget=tiny.budget))
    monkeypatch.setattr(studies.running, "check_tracking", lambda uri: None)
    monkeypatch.setattr(
        studies.running, "log_suite", lambda result, evaluation, files, *_: logged.extend(files) or "logged"
    )
    argv = ["lengths", "--tokens", "313", "157", "--data", str(cohort), "--source", "synthetic-source"]
    argv += ["--target", "synthetic-third", "--folds", "2", "--workers", "1", "--out", str(out)]
    assert studies.__main__.main(argv) == 0
    (folder,) = out.glob("studies/lengths-*")
    assert {f.name for f in folder.iterdir()} == {"lengths.md", "lengths.csv", "contrasts.csv", "lengths.png"}
    assert {f.name for f in logged} >= {f.name for f in folder.iterdir()} | {"report.md"}
    text = (folder / "lengths.md").read_text()
    assert capsys.readouterr().out.startswith(text)
    assert text.startswith("# Synthetic data: ")
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert all("Synthetic data: " in line for line in headings)
    assert "SYNTHETIC DATA: this tests the suite and says nothing of patients." in text
    assert "Single training run of each variant" in text
    assert "| verdict |" not in text
    assert "Not run: 625, 1250, 2500, 5000 tokens; --tokens names the lengths." in text
    assert "Parameters of the blocks differ by 0.0% at most, of whole networks by 3.3%." in text
    assert "no longer equal" not in text
    assert "Change in ROC-AUC a doubling of the tokens (least squares over 2 lengths): Mamba " in text
    assert f"nox -s studies -- {argv[0]}" in text
    table, compared = (pd.read_csv(folder / f"{name}.csv") for name in ("lengths", "contrasts"))
    assert set(table["data"]) == set(compared["data"]) == {"synthetic"}
    assert set(table["how_sure"]) == set(compared["how_sure"]) == {"single training run"}
    assert sorted(set(table["tokens"])) == [157, 313]
    assert len(compared) == 2 * (2 + 3)
    suite_report = next(f for f in logged if f.name == "report.md").read_text()
    assert "No variant of this run is the reference, so no differences are given." in suite_report
