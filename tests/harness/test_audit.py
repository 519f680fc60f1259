"""An audit passes what is clean, and finds each violation that is planted, and no other."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from ecg_ramba import cli_runs
from ecg_ramba.errors import UserError
from ecg_ramba.evaluation.config import EvaluationConfig
from ecg_ramba.evaluation.evaluate import evaluate
from ecg_ramba.evaluation.manifest import write_manifest
from ecg_ramba.files import mark_complete, write_json
from ecg_ramba.harness.audit import data, fits, people, predictions, settings
from ecg_ramba.harness.audit.checks import FAIL, PASS, UNCHECKED
from ecg_ramba.harness.audit.run import FILES, audit_lines, audit_run, write_audit
from ecg_ramba.harness.options import Parser

NAMES = ("ecg_ramba", "minirocket_linear", "hrv_logistic", "pool_max")
DIGESTS = "every stored file has the digest of manifest.json"


@pytest.fixture(scope="module")
def finished(run_tiny, tmp_path_factory):
    """A tiny real suite on the synthetic cohort, with what an audit reads of its report."""
    out = tmp_path_factory.mktemp("audit")
    result = run_tiny(out, NAMES)
    report = result.folder / "report"
    report.mkdir()
    evaluate(result.folder, EvaluationConfig(draws=20)).summary.to_csv(report / "summary.csv", index=False)
    write_json(report / "settings.json", vars(EvaluationConfig()))
    write_manifest(result.folder)
    return result.folder


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the suite with its cells and predictions, to be damaged."""
    out = finished.parent.parent
    for name in ("suites", "cells", "predictions"):
        shutil.copytree(out / name, tmp_path / name)
    return tmp_path / "suites" / finished.name


def failed(audit):
    return {c.claim for c in audit.checks if c.status == FAIL}


def detail(audit, claim, status=FAIL):
    return next(c.detail for c in audit.checks if c.claim.startswith(claim) and c.status == status)


def edit(path, change):
    content = json.loads(path.read_text())
    path.write_text(json.dumps(change(content) or content))


def table(path, change):
    change(pd.read_parquet(path)).to_parquet(path, index=False)


def test_a_clean_run_passes_everything(finished, cohort):
    audit = audit_run(finished, data_dir=cohort)
    assert {c.claim for c in audit.checks if c.status != PASS} == set(), audit_lines(audit)
    by = {c.claim: c.detail for c in audit.checks}
    assert by[fits.WHOLE] == "6 of 6 checkpoints"
    assert by[fits.HELD_OUT] == "6 checkpoints, 24 records of the source"
    # components and rhythm, each shared by two variants, in two folds
    assert by[fits.TRANSFORMS] == "8 transforms, 4 different fits asked for"
    assert by[data.SPLIT] == "24 records in 2 folds"
    assert by[predictions.AS_SAID].endswith("rows of 6 cells")


def test_without_recordings_these_alone_are_not_checked(finished):
    audit = audit_run(finished)
    assert {c.claim for c in audit.checks if c.status != PASS} == set(data.CLAIMS)
    assert "--data DIR" in detail(audit, data.SAME, UNCHECKED)
    assert sum(audit.counts.values()) == len(audit.checks)


def two_folds(frame):
    """Give a record of fold 2 the subject of one of fold 1."""
    source = frame[frame["role"] == "source"]
    one, other = (source.index[source["fold"] == k][0] for k in (1, 2))
    frame.loc[other, "subject"] = frame.loc[one, "subject"]
    return frame


def one_signal_in_two_folds(frame):
    source = frame[frame["role"] == "source"]
    one, other = (source.index[source["fold"] == k][0] for k in (1, 2))
    frame.loc[other, "signal_digest"] = frame.loc[one, "signal_digest"]
    return frame


def signal_in_a_target(frame):
    one, other = (frame.index[frame["role"] == role][3] for role in ("source", "target"))
    frame.loc[other, "signal_digest"] = frame.loc[one, "signal_digest"]
    return frame


def subject_in_a_target(frame):
    one, other = (frame.index[frame["role"] == role][3] for role in ("source", "target"))
    frame.loc[other, ["subject", "publisher"]] = frame.loc[one, ["subject", "publisher"]].to_numpy()
    frame.loc[[one, other], "subject_known"] = True
    return frame


def record_in_a_target(frame):
    one, other = (frame.index[frame["role"] == role][3] for role in ("source", "target"))
    frame.loc[other, ["publisher_id", "publisher"]] = frame.loc[one, ["publisher_id", "publisher"]].to_numpy()
    return frame


PEOPLE_ABROAD = people.ABROAD.format("subject of the source") + " of the same publisher"
SIGNALS_ABROAD = people.ABROAD.format("signal of the source")


@pytest.mark.parametrize(
    ("plant", "claims", "words"),
    [
        # what is moved in records.parquet alone also contradicts the labels and what the checkpoints were trained on
        (two_folds, {people.FOLDS.format("subject"), people.AGREE, fits.HELD_OUT, fits.ALL}, "records SYNS"),
        (one_signal_in_two_folds, {people.FOLDS.format("signal"), fits.HELD_OUT, fits.ALL}, "one signal: records SYNS"),
        (signal_in_a_target, {SIGNALS_ABROAD, fits.ABROAD}, "has the samples of the source's SYNS"),
        (subject_in_a_target, {PEOPLE_ABROAD, people.AGREE, fits.ABROAD}, "subject "),
        (record_in_a_target, {PEOPLE_ABROAD}, "is a record of the source and of"),
    ],
)
def test_people_and_signals_on_two_sides(run, plant, claims, words):
    table(run / "records.parquet", plant)
    write_manifest(run)
    audit = audit_run(run)
    assert failed(audit) == claims
    assert words in " ".join(c.detail for c in audit.checks if c.status == FAIL)


def test_splits_that_say_something_else(run):
    def move(content):
        name = next(iter(content["held_out_fold"]))
        content["held_out_fold"][name] = 3 - content["held_out_fold"][name]

    edit(run / "splits.json", move)
    write_manifest(run)
    audit = audit_run(run)
    assert failed(audit) == {people.AGREE, predictions.HELD_OUT}


def cell(run, variant="ecg_ramba", fold=1):
    listed = json.loads((run / "cells.json").read_text())
    (found,) = (c for c in listed if c["variant"] == variant and c["fold"] == fold)
    return run.parent.parent / "cells" / found["key"][:24]


def rewrite(folder, facts=None, content=None):
    """Change a checkpoint and make its folder complete again, as somebody who trained it so would have left it."""
    path = folder / "model.pt"
    stored = torch.load(path, weights_only=True)
    about = json.loads(stored["about"])
    if facts:
        facts(about["facts"])
    if content:
        content(stored)
    torch.save(stored | {"about": json.dumps(about)}, path)
    (folder / "done.json").unlink()
    mark_complete(folder)


def of_fold(run, fold):
    found = pd.read_parquet(run / "records.parquet")
    return found[(found["role"] == "source") & (found["fold"] == fold)]


def test_a_checkpoint_trained_on_a_held_out_record(run):
    record = of_fold(run, 1).iloc[0]

    def peek(facts):
        facts["training_signals"] = sorted([*facts["training_signals"], record["signal_digest"]])

    rewrite(cell(run), peek)
    audit = audit_run(run)
    assert failed(audit) == {fits.HELD_OUT, fits.ALL}
    assert f"ecg_ramba, fold 1, seed 0 was trained on held-out record {record['record']}" in detail(
        audit, fits.HELD_OUT
    )


def test_a_checkpoint_trained_on_a_held_out_subject(run):
    subject = of_fold(run, 1)["subject"].iloc[0]
    rewrite(cell(run), lambda facts: facts["training_subjects"].append(subject))
    audit = audit_run(run)
    assert failed(audit) == {fits.HELD_OUT, fits.ALL}
    assert f"held-out subject {subject}" in detail(audit, fits.HELD_OUT)


def test_a_checkpoint_trained_on_a_target(run):
    found = pd.read_parquet(run / "records.parquet")
    target = found[found["role"] == "target"].iloc[0]
    rewrite(cell(run, fold=2), lambda facts: facts["training_signals"].append(target["signal_digest"]))
    audit = audit_run(run)
    assert failed(audit) == {fits.ABROAD, fits.ALL}
    assert f"target record {target['record']}" in detail(audit, fits.ABROAD)


def test_a_checkpoint_trained_on_less_than_its_part(run):
    rewrite(cell(run), lambda facts: facts["training_signals"].pop())
    assert failed(audit_run(run)) == {fits.ALL}


@pytest.mark.parametrize(
    ("facts", "claims"),
    [
        ({"training_part": "0" * 64}, {fits.PART}),
        ({"fold": 2}, {fits.WHOLE}),
        ({"seed": 1}, {fits.WHOLE}),
        ({"source": "chapman"}, {fits.WHOLE}),
    ],
)
def test_a_checkpoint_of_another_part(run, facts, claims):
    rewrite(cell(run), lambda own: own.update(facts))
    assert failed(audit_run(run)) == claims


def test_a_training_part_that_splits_does_not_name(run):
    parts = {}
    for c in json.loads((run / "cells.json").read_text()):
        about = json.loads(torch.load(cell(run, c["variant"], c["fold"]) / "model.pt", weights_only=True)["about"])
        parts[str(c["fold"])] = about["facts"]["training_part"]
    edit(run / "splits.json", lambda s: s | {"training_parts": parts})
    write_manifest(run)
    audit = audit_run(run)
    assert failed(audit) == set()
    assert "held to each other alone" not in detail(audit, fits.PART, PASS)
    edit(run / "splits.json", lambda s: s | {"training_parts": parts | {"2": "0" * 64}})
    write_manifest(run)
    assert failed(audit_run(run)) == {fits.PART}


@pytest.mark.parametrize(("part", "variant"), [("rhythm", "hrv_logistic"), ("morphology", "minirocket_linear")])
def test_a_transform_that_was_fitted_on_something_else(run, part, variant):
    def shift(content):
        for name, tensor in content[part].items():
            if tensor.is_floating_point():
                content[part][name] = tensor + 1e-3

    rewrite(cell(run), content=shift)
    audit = audit_run(run)
    assert failed(audit) == {fits.TRANSFORMS}
    assert f"{part} of ecg_ramba, fold 1, seed 0 and {variant}, fold 1, seed 0 differ" in detail(audit, fits.TRANSFORMS)


def test_a_transform_of_other_settings_may_differ(run):
    """The negative control: what was asked for otherwise is not compared."""

    def other(content):
        about = json.loads(content["about"])
        about["features"]["num_kernels"] += 84
        content["about"] = json.dumps(about)
        content["morphology"] = {k: v + 1 if v.is_floating_point() else v for k, v in content["morphology"].items()}

    path = cell(run) / "model.pt"
    stored = torch.load(path, weights_only=True)
    other(stored)
    torch.save(stored, path)
    (path.parent / "done.json").unlink()
    mark_complete(path.parent)
    assert failed(audit_run(run)) == set()


def test_classes_that_were_trained_though_the_suite_says_not(run):
    rewrite(cell(run), content=lambda c: c.update(trained=~c["trained"]))
    assert failed(audit_run(run)) == {fits.CLASSES}


def test_checkpoints_that_are_damaged_foreign_or_gone(run):
    path = cell(run) / "model.pt"
    path.write_bytes(path.read_bytes()[:-50])
    audit = audit_run(run)
    assert failed(audit) == {fits.WHOLE}
    assert "not as its checksum says" in detail(audit, fits.WHOLE)
    torch.save({"format": "another"}, path)
    (cell(run) / "done.json").unlink()
    mark_complete(cell(run))
    assert "is not a checkpoint of this suite" in detail(audit_run(run), fits.WHOLE)
    shutil.rmtree(cell(run))
    audit = audit_run(run)
    assert failed(audit) == set()
    assert "1 checkpoint of 6 are not in" in detail(audit, fits.WHOLE, UNCHECKED)
    shutil.rmtree(run.parent.parent / "cells")
    audit = audit_run(run)
    assert {c.claim for c in audit.checks if c.status == UNCHECKED} == {*fits.CLAIMS, *data.CLAIMS}
    (run / "cells.json").unlink()
    assert "no cells.json" in detail(audit_run(run), fits.WHOLE, UNCHECKED)


def windows(run, change, variant="ecg_ramba"):
    table(run / "variants" / variant / "windows.parquet", change)
    write_manifest(run)


def first_of(frame, dataset="synthetic-source", fold=1):
    return frame[(frame["dataset"] == dataset) & (frame["fold"] == fold)]["record"].unique()


def swapped(frame):
    """Two held-out records of one fold get each other's probabilities: no key changes."""
    one, other = (np.flatnonzero((frame["record"] == r).to_numpy()) for r in first_of(frame)[:2])
    values = [c for c in frame.columns if c not in ("dataset", "record", "segment", "start", "fold", "seed")]
    p = frame[values].to_numpy(copy=True)
    p[one], p[other] = frame[values].to_numpy()[other], frame[values].to_numpy()[one]
    frame[values] = p
    return frame


def from_the_other_fold(frame):
    at = frame["record"] == first_of(frame)[0]
    return frame.assign(fold=frame["fold"].where(~at, 2).astype(np.int16))


def lost(frame):
    return frame[frame["record"] != first_of(frame, "synthetic-third")[0]]


def one_fold_lost(frame):
    at = (frame["record"] == first_of(frame, "synthetic-third")[0]) & (frame["fold"] == 2)
    return frame[~at]


def doubled(frame):
    return pd.concat([frame, frame.iloc[[0]]])


def invented(frame):
    return pd.concat([frame, frame[frame["record"] == first_of(frame)[0]].assign(record="X1")])


def gap(frame):
    frame.loc[frame.index[5], "AF"] = np.nan
    return frame


def above_one(frame):
    frame.loc[frame.index[5], "AF"] = 1.5
    return frame


P = predictions


@pytest.mark.parametrize(
    ("plant", "claims", "words"),
    [
        (swapped, {P.AS_SAID}, "its rows of synthetic-source are not what it predicted"),
        (from_the_other_fold, {P.HELD_OUT}, "was predicted by fold 2, it is held out in fold 1"),
        (lost, {P.WHOLE, P.SAME}, "no prediction of 1 record of synthetic-third"),
        (one_fold_lost, {P.WHOLE}, "3 windows of other than 2 models"),
        (doubled, {P.WHOLE}, "has a window twice"),
        (
            invented,
            {P.WHOLE, P.SAME},
            "a prediction of 1 record of synthetic-source, X1 first, which the run does not use",
        ),
        (gap, {P.VALUES, P.AS_SAID}, "AF is missing in 1 rows of fold"),
        (above_one, {P.VALUES, P.AS_SAID}, "AF has 1 values outside 0 to 1"),
    ],
)
def test_predictions_that_are_wrong(run, plant, claims, words):
    windows(run, plant)
    audit = audit_run(run)
    assert failed(audit) - {P.AS_SAID} == claims - {P.AS_SAID}
    assert (P.AS_SAID in failed(audit)) or P.AS_SAID not in claims
    assert words in " ".join(c.detail for c in audit.checks if c.status == FAIL)


def test_a_manifest_finds_what_was_changed_afterwards(run):
    table(run / "variants" / "hrv_logistic" / "windows.parquet", swapped)
    audit = audit_run(run)
    assert failed(audit) == {DIGESTS, P.AS_SAID}
    assert "variants/hrv_logistic/windows.parquet" in detail(audit, DIGESTS)


def test_predictions_of_cells_that_are_gone_are_not_checked(run):
    shutil.rmtree(run.parent.parent / "predictions")
    audit = audit_run(run)
    assert failed(audit) == set()
    assert "are not in" in detail(audit, P.AS_SAID, UNCHECKED)


def test_settings_that_are_not_the_protocols(run):
    edit(run / "report" / "settings.json", lambda s: s | {"threshold": 0.3, "min_positives": 3})
    audit = audit_run(run)
    assert failed(audit) == {"the report was made with the protocol's settings"}
    assert "it was not: min_positives = 3, threshold = 0.3" in detail(audit, "the report was made")
    shutil.rmtree(run / "report")
    assert "there is no report/settings.json" in detail(audit_run(run), "the report was made", UNCHECKED)


MAXIMUM, OTHER_Q = {"rule": "max", "q": 3.0}, {"rule": "power", "q": 2.0}


@pytest.mark.parametrize(
    ("row", "fields", "claim", "words"),
    [
        (1, {"threshold": 0.2}, "one threshold", "has threshold = 0.2"),
        (0, {"pooling": MAXIMUM}, "pooling is fixed", "the reference ecg_ramba is pooled by max"),
        (0, {"pooling": OTHER_Q}, "pooling is fixed", "(q = 2)"),
        (-1, {"windows": "variants/mine/windows.parquet"}, "pooling is fixed", "that no variant predicted"),
    ],
)
def test_variants_that_are_scored_in_their_own_way(run, row, fields, claim, words):
    edit(run / "variants.json", lambda rows: rows[row].update(fields))
    if "windows" in fields:
        shutil.copytree(run / "variants" / "ecg_ramba", run / "variants" / "mine")
    write_manifest(run)
    audit = audit_run(run)
    assert words in detail(audit, claim)
    assert len(failed(audit)) == 1


STATED = {"synthetic-source": "none", "synthetic-rhythm": "unknown", "synthetic-third": "pretraining"}
SAID = "what a pretrained model saw of each data set is stated"


def test_pretrained_models_that_say_nothing_of_a_data_set_or_are_not_marked(run):
    edit(run / "variants.json", lambda rows: rows[2].update(overlap=STATED))
    write_manifest(run)
    assert failed(audit_run(run)) == {"rows of a model that saw the data, or may have, are marked in the report"}
    evaluate(run, EvaluationConfig(draws=20)).summary.to_csv(run / "report" / "summary.csv", index=False)
    audit = audit_run(run)
    assert failed(audit) == set()
    assert "hrv_logistic: synthetic-source none, synthetic-rhythm unknown" in detail(audit, SAID, PASS)
    edit(run / "variants.json", lambda rows: rows[2].update(overlap={"synthetic-source": "none"}))
    write_manifest(run)
    assert "hrv_logistic states nothing of synthetic-rhythm, synthetic-third" in detail(audit_run(run), SAID)


def test_a_file_of_predictions_cannot_be_audited_for_what_it_was_trained_on(run):
    edit(run / "variants.json", lambda rows: rows[2].update(kind="external"))
    write_manifest(run)
    assert "hrv_logistic is a file of predictions" in detail(audit_run(run), SAID, UNCHECKED)


def test_an_older_run_is_checked_as_far_as_it_goes(run):
    for name in ("records.parquet", "splits.json", "cells.json", "manifest.json"):
        (run / name).unlink()
    audit = audit_run(run)
    assert failed(audit) == set()
    why = {c.claim for c in audit.checks if c.status == UNCHECKED}
    assert {DIGESTS, people.AGREE, people.FOLDS.format("subject"), fits.HELD_OUT, P.AS_SAID} <= why
    assert next(c for c in audit.checks if c.claim == P.HELD_OUT).status == PASS  # the labels know the folds


def test_other_recordings_are_found(run, cohort, tmp_path, replace_by_noise):
    noisy = tmp_path / "noisy"
    shutil.copytree(cohort, noisy)
    name = of_fold(run, 1)["record"].iloc[0]
    assert replace_by_noise(noisy, lambda p: p.stem == name) == 1
    audit = audit_run(run, data_dir=noisy)
    assert failed(audit) == {data.SAME, data.PARTS}
    assert f"1 record have other samples, {name} first" in detail(audit, data.SAME)
    for path in noisy.rglob(f"{name}.*"):
        path.unlink()
    audit = audit_run(run, data_dir=noisy)
    assert f"1 record of the run are not there, {name} first" in detail(audit, data.SAME)
    assert "not all recordings" in detail(audit, data.SPLIT, UNCHECKED)


def test_another_split_is_found(run, cohort):
    edit(run / "suite.json", lambda s: s["config"].update(base_seed=7))
    write_manifest(run)
    audit = audit_run(run, data_dir=cohort)
    assert data.SPLIT in failed(audit)


@pytest.mark.parametrize(("name", "content"), [("splits.json", "[]"), ("cells.json", "[1]"), ("suite.json", "{")])
def test_damaged_files_are_named(run, name, content):
    (run / name).write_text(content)
    with pytest.raises(UserError, match=name):
        audit_run(run)


def test_what_is_no_run(tmp_path):
    with pytest.raises(UserError, match="no finished run"):
        audit_run(tmp_path)


def test_the_command_prints_a_list_and_keeps_it(run, capsys):
    parser = Parser()
    cli_runs.add_run_commands(parser.add_subparsers(parser_class=Parser))
    options = parser.parse_args(["audit", str(run)])
    assert options.run(options) == 0
    said = capsys.readouterr().out
    assert said.startswith("SYNTHETIC DATA")
    assert f"PASS         {FILES}: {DIGESTS}" in said
    kept = json.loads((run / "report" / "audit.json").read_text())
    assert kept["counts"][FAIL] == 0
    assert len(kept["checks"]) == sum(kept["counts"].values())
    text = (run / "report" / "audit.md").read_text()
    assert "SYNTHETIC DATA" in text
    assert all(c["claim"] in text for c in kept["checks"])
    table(run / "records.parquet", two_folds)
    assert options.run(options) == 1
    assert "FAIL         subjects: no subject is in two folds" in capsys.readouterr().out
    before = (run / "report" / "audit.md").read_bytes()
    write_audit(audit_run(run))
    assert (run / "report" / "audit.md").read_bytes() == before


def test_settings_are_checked_without_torch_where_there_is_no_checkpoint(run):
    import subprocess
    import sys

    shutil.rmtree(run.parent.parent / "cells")
    code = (
        "import sys\nfrom pathlib import Path\nfrom ecg_ramba.harness.audit.run import audit_run\n"
        f"print(audit_run(Path({str(run)!r})).counts['FAIL'], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0 False\n"
    assert settings.THRESHOLDS == "thresholds"
