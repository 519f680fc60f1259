"""Data sets are found under every name their folders have, and what is not there is said."""

import copy
import warnings
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest

from ecg_ramba.data import registry
from ecg_ramba.data.labels import PAPER27
from ecg_ramba.data.registry import dataset, datasets, locate, plain_name
from ecg_ramba.errors import UserError

REAL = {
    "chapman",
    "chapman-shaoxing",
    "chapman-ningbo",
    "cpsc2021",
    "ptbxl",
    "ptbxl-100",
    "ptbxl-derived",
    "ptbxl-challenge",
    "georgia",
    "cpsc2018",
    "cpsc2018-extra",
    "ptb",
    "ludb",
}
ROW = (1, "15709.0", 56.0, 1, "{'SR': 0.0}", "LAD", 3)


def test_every_data_set_is_complete():
    known = datasets()
    assert set(known) >= REAL
    for name, d in known.items():
        assert d.name == name
        assert d.title
        assert d.publisher
        assert d.licence
        assert d.citation
        assert d.folders
        assert d.layout
        assert d.synthetic == (name not in REAL)
        assert d.annotated("") <= set(PAPER27)
        assert d.annotated("")
        assert not d.view_of or d.view_of in known


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UserError, match="did you mean chapman\\?"):
        dataset("chapmn")


CHAPMAN = "a-large-scale-12-lead-electrocardiogram-database-for-arrhythmia-study-1.0.0"
CPSC = (
    "paroxysmal-atrial-fibrillation-events-detection-from-dynamic-ecg-recordings-the-4th-china-physiological-signal-"
    "challenge-2021-1.0.0"
)
PTBXL = "ptb-xl-a-large-publicly-available-electrocardiography-dataset-1.0.3"


@pytest.mark.parametrize(
    ("name", "record", "below", "place"),
    [
        ("chapman", "JS00001", "chapman/WFDBRecords/01/010", "chapman"),
        ("chapman", "JS00001", f"{CHAPMAN}/WFDBRecords/01/010", CHAPMAN),
        ("chapman", "JS00001", "physionet.org/files/ecg-arrhythmia/1.0.0/WFDBRecords/01/010", None),
        ("chapman", "JS00001", "somewhere/else", ""),
        ("chapman", "JS00001", "", ""),
        ("chapman-ningbo", "JS20000", "challenge-2021/training/ningbo/g1", "challenge-2021/training/ningbo"),
        ("georgia", "E00001", "challenge-2021-1.0.3/training/georgia/g1", "challenge-2021-1.0.3/training/georgia"),
        ("cpsc2018", "A0001", "training/cpsc_2018/g1", "training/cpsc_2018"),
        ("cpsc2018-extra", "Q0001", "training/CPSC_2018_Extra/g1", "training/CPSC_2018_Extra"),
        ("ptb", "S0001", "training/ptb/g1", "training/ptb"),
        ("ptbxl-challenge", "HR00001", "training/ptb-xl/g1", "training/ptb-xl"),
    ],
)
def test_snomed_layouts(tmp_path, files, name, record, below, place):
    files.write_record(tmp_path / below, record, files.ecg(12, 600))
    found = locate(tmp_path, [name])[name]
    if place is not None:
        assert found == tmp_path / place
    assert [p.stem for p in dataset(name).find(found)] == [record]


@pytest.mark.parametrize("folder", ["cpsc2021", "cpsc-2021", CPSC, "physionet.org/files/cpsc2021/1.0.0"])
@pytest.mark.parametrize("inside", ["", "Training_set_I"])
def test_cpsc2021_layouts(tmp_path, files, folder, inside):
    files.write_dynamic(tmp_path / folder / inside, "data_1_1", [])
    found = locate(tmp_path, ["cpsc2021"])["cpsc2021"]
    assert [p.stem for p in dataset("cpsc2021").find(found)] == ["data_1_1"]


@pytest.mark.parametrize(
    "folder", ["ptbxl", "ptb-xl", PTBXL, f"{PTBXL}/{PTBXL}", "physionet.org/files/ptb-xl/1.0.3", ""]
)
def test_ptbxl_layouts(tmp_path, files, folder):
    files.write_ptbxl(tmp_path / folder, [ROW])
    found = locate(tmp_path, ["ptbxl", "ptbxl-100"])
    assert set(found.values()) == {tmp_path / folder}
    assert dataset("ptbxl").read(dataset("ptbxl").find(found["ptbxl"])[0]).rate == 500
    assert dataset("ptbxl-100").read(dataset("ptbxl-100").find(found["ptbxl-100"])[0]).rate == 100


def test_the_newest_version_folder_counts(tmp_path, files):
    for version in ("1.0.1", "1.0.3"):
        files.write_ptbxl(tmp_path / "ptb-xl" / version, [ROW])
    assert locate(tmp_path, ["ptbxl"])["ptbxl"].name == "1.0.3"


def test_both_hospitals_of_the_challenge_are_chapman(tmp_path, files):
    for hospital, record in (("chapman_shaoxing", "JS00001"), ("ningbo", "JS20001"), ("georgia", "E00001")):
        files.write_record(tmp_path / "training" / hospital / "g1", record, files.ecg(12, 600))
    found = locate(tmp_path)
    assert set(found) == {"chapman", "georgia"}
    assert [p.stem for p in dataset("chapman").find(found["chapman"])] == ["JS00001", "JS20001"]


def test_hospitals_are_parts_of_the_whole(tmp_path, files):
    for record in ("JS10646", "JS10647"):
        files.write_record(tmp_path / "chapman" / "WFDBRecords", record, files.ecg(12, 600))
    parts = locate(tmp_path, ["chapman-shaoxing", "chapman-ningbo", "chapman"])
    stems = {name: [p.stem for p in dataset(name).find(folder)] for name, folder in parts.items()}
    assert stems == {
        "chapman-shaoxing": ["JS10646"],
        "chapman-ningbo": ["JS10647"],
        "chapman": ["JS10646", "JS10647"],
    }
    record = dataset("chapman-ningbo").read(dataset("chapman-ningbo").find(parts["chapman-ningbo"])[0])
    assert (record.source, record.publisher, record.hospital) == ("chapman-ningbo", "chapman", "ningbo")


def test_derived_signals_are_never_taken_for_originals(tmp_path, files):
    files.write_ptbxl(tmp_path / "a" / "ptb-xl", [ROW])
    files.write_ptbxl(tmp_path / "b" / "ptb-xl", [ROW], gain="1000.0(0)/SD")
    assert [dataset("ptbxl").find(tmp_path / x / "ptb-xl") != [] for x in "ab"] == [True, False]
    assert [dataset("ptbxl-derived").find(tmp_path / x / "ptb-xl") != [] for x in "ab"] == [False, True]
    record = dataset("ptbxl-derived").read(dataset("ptbxl-derived").find(tmp_path / "b" / "ptb-xl")[0])
    assert (record.units, record.publisher, record.publisher_id) == ("SD", "ptbxl", "1")


def test_synthetic_folders_are_not_real(tmp_path, files):
    files.write_record(tmp_path / "synthetic-site", "JS00001", files.ecg(12, 600))
    assert dataset("chapman").find(tmp_path) == []


@pytest.mark.parametrize("kind", ["missing", "file", "empty", "other"])
def test_wrong_folders_are_one_line(tmp_path, kind):
    place = tmp_path / "data"
    if kind == "file":
        place.write_text("x")
    elif kind != "missing":
        place.mkdir()
    if kind == "other":
        (place / "holiday.jpg").write_text("x")
    said = {"missing": "is not there", "file": "is a file", "empty": "it is empty", "other": "holiday.jpg"}[kind]
    for names in (None, ["ptbxl"]):
        with pytest.raises(UserError, match=said) as caught:
            locate(place, names)
        assert "\n" not in str(caught.value)
    if kind == "other":
        assert "ptbxl_database.csv" in str(caught.value)  # what was looked for


def test_a_named_folder_without_its_table(tmp_path, files):
    root = files.write_ptbxl(tmp_path / "ptbxl", [ROW])
    (root / "ptbxl_database.csv").unlink()
    with pytest.raises(UserError, match=r"ptbxl holds no recordings of ptbxl: looked for ptbxl_database\.csv"):
        locate(tmp_path, ["ptbxl"])


def test_plain_names():
    assert plain_name("PTB-XL") == plain_name("ptb_xl-1.0.3") == "ptb-xl"
    assert plain_name("cpsc2021") == "cpsc2021"


def _plug_in(monkeypatch, value):
    points = [EntryPoint(name="mine", value=value, group=registry.GROUP)]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)


def test_a_broken_plug_in_is_left_out_with_a_warning(monkeypatch):
    _plug_in(monkeypatch, "no_such_module_anywhere:DATASETS")
    with pytest.warns(UserWarning, match="no_such_module_anywhere"):
        assert datasets() == {}


def test_two_data_sets_of_one_name_are_refused(monkeypatch):
    members = [copy.copy(dataset("ludb")), copy.copy(dataset("ludb"))]
    monkeypatch.setattr(
        registry, "entry_points", lambda group: [SimpleNamespace(name="x", value="y", load=lambda: members)]
    )
    with pytest.raises(UserError, match="two data sets are called 'ludb'"):
        datasets()


def test_the_projects_own_load_without_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert {"chapman", "cpsc2021", "ptbxl", "georgia", "ludb", "synthetic-source"} <= set(datasets())
