"""The label tables against the publishers' own files, and the rules of merging and of what is annotated."""

import csv
import hashlib
from collections import Counter
from importlib.resources import files as resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecg_ramba.data import labels as lab
from ecg_ramba.errors import UserError

# Typed from the protocol, not read from the table: abbreviation and SNOMED code in the paper's order.
PAPER = (
    "AF 164889003, AFL 164890007, Brady 426627000, CRBBB 713427006, IAVB 270492004, IRBBB 713426002, LAD 39732003, "
    "LBBB 164909002, LAnFB 445118002, LQT 111975006, LQRSV 251146004, NSIVCB 698252002, PR 10370003, PAC 284470004, "
    "PVC 427172004, QAb 164917005, RAD 47665007, RBBB 59118001, SA 427393009, SB 426177001, SNR 426783006, "
    "STach 427084000, SVPB 63593006, TAb 164934002, TInv 59931005, VPB 17338001, LPR 164947007"
)
PAIRS = [tuple(entry.split()) for entry in PAPER.split(", ")]
some_labels = st.frozensets(st.sampled_from(lab.PAPER27))


def test_the_27_classes():
    assert list(lab.PAPER27) == [name for name, _ in PAIRS]
    assert {name: lab.snomed_labels([code]) for name, code in PAIRS} == {name: {name} for name, _ in PAIRS}


def test_further_snomed_codes():
    assert lab.snomed_labels(["733534002"]) == {"LBBB"}
    assert lab.snomed_labels(["164884008"]) == {"PVC"}
    assert lab.snomed_labels(["55827005", "11157007", ""]) == set()
    assert lab.snomed_paced(["426783006", "10370003"])
    assert not lab.snomed_paced(["426783006"])


def test_label_spaces():
    paper, merged = lab.label_space("paper27"), lab.label_space("merged24")
    assert paper.classes == lab.PAPER27
    assert merged.classes == tuple(c for c in lab.PAPER27 if c not in ("CRBBB", "SVPB", "VPB"))
    assert merged.merge({"CRBBB", "SVPB", "VPB", "AF"}) == {"RBBB", "PAC", "PVC", "AF"}
    assert merged.index("AFL") == 1
    with pytest.raises(UserError, match="no label space 'merged25'"):
        lab.label_space("merged25")


@given(some_labels, some_labels)
def test_merging_is_a_map_of_classes(one, two):
    for name in ("paper27", "merged24"):
        space = lab.label_space(name)
        assert space.merge(one) <= set(space.classes)
        assert space.merge(space.merge(one)) == space.merge(one)
        assert space.merge(one | two) == space.merge(one) | space.merge(two)
    assert lab.label_space("paper27").merge(one) == one


def test_scp_axis_and_rhythm():
    assert lab.scp_labels({"AFIB": 0.0, "STACH": 0.0}) == {"AF", "STach"}
    for axes, expected in ((("LAD", "ALAD"), {"LAD"}), (("RAD", "ARAD"), {"RAD"}), (("MID", "AXL", "AXR", ""), set())):
        assert [lab.scp_labels({"NORM": 100.0}, axis) for axis in axes] == [expected] * len(axes)


def test_likelihood_rules():
    codes = {"CRBBB": 80.0, "IMI": 15.0, "LAFB": 100.0, "AFIB": 0.0, "PVC": 50.0}
    assert lab.scp_labels(codes) == {"CRBBB", "LAnFB", "AF", "PVC"}
    assert lab.scp_superclasses(codes) == {"CD", "MI"}
    # Form (PVC) and rhythm (AFIB) count when present, whatever the rule for diagnoses.
    assert lab.scp_labels(codes, likelihood_rule="100") == {"LAnFB", "AF", "PVC"}
    assert lab.scp_superclasses(codes, "100") == {"CD"}
    for rule in (lab.scp_labels, lab.scp_superclasses):
        with pytest.raises(UserError, match="no likelihood rule '50'"):
            rule(codes, likelihood_rule="50")


def test_a_filter_above_zero_would_lose_af(real_data):
    """The negative control for the rule above: the customary filter finds one of nine."""
    import ast

    with open(real_data / "ptb-xl" / "ptbxl_database.csv", newline="") as f:
        rows = [ast.literal_eval(row["scp_codes"]) for row in csv.DictReader(f)]
    assert sum("AF" in lab.scp_labels(row) for row in rows) == 9
    assert sum(row.get("AFIB", 0) > 0 for row in rows) == 1


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Rhythm: Atrial flutter, typical", "AFL"),
        ("Rhythm: Irregular sinus rhythm", "SA"),
        ("Electric axis of the heart: left axis deviation", "LAD"),
        ("Electric axis of the heart: horizontal", None),
        ("Atrial extrasystole: SA-nodal extrasystole", "PAC"),
        ("Ventricular extrasystole, type: couplet", "PVC"),
        ("Incomplete left bundle branch block", None),
        ("III degree AV-block", None),
        ("Non-specific repolarization abnormalities: septal", None),
        ("BIpolar ventricular pacing", "PR"),
    ],
)
def test_ludb_text(text, label):
    assert lab.ludb_labels([text]) == ({label} if label else set())


def test_cpsc2021_rhythms():
    assert lab.cpsc2021_labels(["AFIB", "AFL", "SVTA"]) == {"AF", "AFL"}


def test_hospitals_of_chapman():
    """The protocol's own figures."""
    shaoxing, ningbo = (lab.release_counts("chapman", h) for h in ("shaoxing", "ningbo"))
    both = {c: (shaoxing[c], ningbo[c]) for c in lab.PAPER27}
    expected = {
        "AF": (1780, 0),
        "AFL": (445, 7615),
        "PVC": (0, 1091),
        "VPB": (294, 0),
        "CRBBB": (0, 1096),
        "IRBBB": (0, 246),
        "LAnFB": (0, 380),
        "SA": (0, 2550),
        "PR": (0, 1182),
    }
    assert {c: both[c] for c in expected} == expected
    assert "AF" not in lab.annotated_classes("chapman", "ningbo")
    assert lab.annotated_classes("chapman") == frozenset(lab.PAPER27)
    for hospital in ("shaoxing", "ningbo"):
        assert lab.annotated_classes(f"chapman-{hospital}") == lab.annotated_classes("chapman", hospital)
    assert ningbo["LBBB"] == 35 + 213  # with CLBBB


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("georgia", {"PR", "LPR"}),
        ("ptbxl", {"Brady", "RBBB", "SVPB", "VPB"}),
        ("ptbxl-challenge", {"Brady", "RBBB", "VPB"}),
        ("ludb", {"Brady", "LQT", "LQRSV", "QAb", "RBBB", "SVPB", "TAb", "TInv", "VPB", "LPR"}),
    ],
)
def test_what_is_not_annotated(name, missing):
    assert set(lab.PAPER27) - lab.annotated_classes(name) == missing


def test_few_classes():
    assert lab.annotated_classes("cpsc2018") == {"AF", "IAVB", "LBBB", "PAC", "PVC", "RBBB", "SNR"}
    assert lab.annotated_classes("cpsc2021") == {"AF", "AFL"}
    assert lab.annotated_classes("ptb") == {"AF", "AFL", "SNR", "STach"}


def test_unknown_data_sets_and_hospitals():
    with pytest.raises(UserError, match="hospital 'paris' of data set chapman"):
        lab.annotated_classes("chapman", "paris")
    with pytest.raises(UserError, match="data set nowhere"):
        lab.annotated_classes("nowhere")


def test_digest_is_the_files():
    content = resources("ecg_ramba.data").joinpath("labels.toml").read_bytes()
    assert lab.mapping_digest() == hashlib.sha256(content).hexdigest()


COLUMNS = {
    "chapman-shaoxing": "Chapman_Shaoxing",
    "chapman-ningbo": "Ningbo",
    "georgia": "Georgia",
    "cpsc2018": "CPSC",
    "cpsc2018-extra": "CPSC_Extra",
    "ptb": "PTB",
    "ptbxl-challenge": "PTB_XL",
}


def test_counts_are_the_challenges(real_data):
    rows = []
    for file in ("dx_mapping_scored.csv", "dx_mapping_unscored.csv"):
        with open(real_data / "mappings" / file, newline="") as f:
            rows += list(csv.DictReader(f))
    for name, column in COLUMNS.items():
        counts = Counter()
        for row in rows:
            for label in lab.snomed_labels([row["SNOMEDCTCode"]]):
                counts[label] += int(row[column])
        assert lab.release_counts(name) == {c: counts[c] for c in lab.PAPER27}, name
    notes = {row["Abbreviation"]: row.get("Notes") for row in rows if row.get("Notes")}
    assert len(notes) == 8  # four pairs, named from both sides


def test_superclasses_are_ptbxls(real_data):
    with open(real_data / "ptb-xl" / "scp_statements.csv", newline="") as f:
        rows = list(csv.DictReader(f))
    for row in rows:
        stated = {row["diagnostic_class"]} if row["diagnostic_class"] else set()
        assert lab.scp_superclasses({row[""]: 100.0}) == stated
    assert {c for r in rows for c in lab.scp_labels({r[""]: 0.0})} == lab.annotated_classes("ptbxl") - {"LAD", "RAD"}
