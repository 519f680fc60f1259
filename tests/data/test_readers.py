"""What every reader keeps to, and readers made for other sites by their arguments alone."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecg_ramba.data.base import quality_of
from ecg_ramba.data.chapman import hospital_of
from ecg_ramba.data.cpsc2021 import Cpsc2021DataSet
from ecg_ramba.data.ptbxl import parse_scp
from ecg_ramba.data.registry import dataset, datasets
from ecg_ramba.data.snomed import SnomedDataSet, parse_dx
from ecg_ramba.errors import RecordError, UserError

ROW = ("15709.0", 56.0, 1, "{'SR': 0.0}", "LAD", 3)


def _site(**changes):
    made = {
        "name": "my-site",
        "title": "My site",
        "publisher": "me",
        "licence": "none",
        "citation": "none",
        "folders": ("my-site",),
        "pattern": r"P\d+_\d+",
        "layout": "P1_1.hea",
    }
    return SnomedDataSet(**(made | changes))


def test_a_site_by_its_arguments(tmp_path, files):
    site = _site(
        subject_pattern=r"(P\d+)_\d+",
        id_pattern=r"P(\d+_\d+)",
        leads=("I", "II"),
        synthetic=True,
        annotated={"": {"AF", "SNR"}},
    )
    files.write_record(tmp_path / "synthetic-my-site", "P7_2", files.ecg(2, 600), leads=("i", "ii"), rate=200)
    (header,) = site.find(tmp_path)
    record = site.read(header)
    assert (record.subject, record.subject_known, record.publisher_id, record.source) == ("P7", True, "7_2", "my-site")
    assert record.leads == ("I", "II")
    assert site.annotated("") == {"AF", "SNR"}
    with pytest.raises(UserError, match="no hospital 'north'"):
        site.annotated("north")


def test_annotated_by_hospital():
    site = _site(annotated={"north": {"AF"}, "south": {"AFL"}})
    assert (site.annotated("north"), site.annotated("")) == ({"AF"}, {"AF", "AFL"})


def test_an_unregistered_site_must_say_what_it_annotates():
    with pytest.raises(UserError, match="no release counts for data set my-site"):
        _site().annotated("")


def test_a_two_lead_site_by_its_arguments(tmp_path, files):
    site = Cpsc2021DataSet(
        name="synthetic-two",
        title="Synthetic two-lead site",
        publisher="me",
        licence="MIT",
        citation="none",
        folders=("synthetic-two",),
        pattern=r"syn_\d+_\d+",
        subject_pattern=r"syn_(\d+)_\d+",
        synthetic=True,
        annotated={"": {"AF"}},
    )
    files.write_dynamic(tmp_path, "syn_4_1", [(0, 28, "(AFIB")])
    (header,) = site.find(tmp_path)
    assert site.read(header).subject == "4"
    files.write_dynamic(tmp_path, "other", [])
    with pytest.raises(RecordError, match="does not tell its subject"):
        site.read(tmp_path / "other.hea")


def test_the_class_comment_and_the_episodes_disagree(tmp_path, files):
    for name, marks, comment in (
        ("data_1_1", [], "# persistent atrial fibrillation"),
        ("data_1_2", [(9, 28, "(AFIB")], "# non atrial fibrillation"),
        ("data_1_3", [], "# non atrial fibrillation"),
    ):
        record = dataset("cpsc2021").read(files.write_dynamic(tmp_path, name, marks, comment=comment))
        assert [w.split(":")[0] for w in record.warnings] == (["class comment"] if name != "data_1_3" else [])


def test_a_mark_after_the_end_is_said(tmp_path, files):
    marks = [(3000, 28, "(AFIB"), (4000, 28, "(N")]
    record = dataset("cpsc2021").read(files.write_dynamic(tmp_path, "data_1_1", marks))
    late = dataset("cpsc2021").read(files.write_dynamic(tmp_path, "data_1_2", [*marks[:1], (4400, 28, "(N")]))
    assert record.episodes == late.episodes
    assert (record.warnings, late.warnings) == ((), ("rhythm mark: at sample 4400 of a record of 4000",))


def test_a_note_longer_than_the_file_is_refused(tmp_path, files):
    header = files.write_dynamic(
        tmp_path, "data_1_1", [(0, 28, "(AFIB"), (30, 1, "None"), (1900, 1, ""), (3500, 28, "(N")]
    )
    path = header.with_suffix(".atr")
    content = path.read_bytes()
    assert content[2] == len("(AFIB")
    path.write_bytes(content[:2] + b"\x1e" + content[3:])
    with pytest.raises(RecordError, match=r"data_1_1\.atr: not a WFDB annotation file"):
        dataset("cpsc2021").read(header)


def test_hospital_border():
    assert [hospital_of(n) for n in (1, 10646, 10647, 45551)] == ["shaoxing", "shaoxing", "ningbo", "ningbo"]


def test_dx_without_repetition():
    assert parse_dx(" 1 ,2,,x,1") == ("1", "2")


@pytest.mark.parametrize("text", ["nonsense", "[1, 2]", "{'SR': 'x'}", "{'SR': ", "__import__('os')", "("])
def test_scp_text_that_is_no_dict(tmp_path, text):
    assert parse_scp(tmp_path, "{'SR': 0.0}") == {"SR": 0.0}
    with pytest.raises(RecordError, match="scp_codes is no dict"):
        parse_scp(tmp_path, text)


def test_ptbxl_record_without_a_row(tmp_path, files):
    root = files.write_ptbxl(tmp_path, [(1, *ROW), (2, *ROW)])
    table = root / "ptbxl_database.csv"
    table.write_text("\n".join(table.read_text().splitlines()[:2]) + "\n")
    headers = dataset("ptbxl").find(root)
    assert dataset("ptbxl").read(headers[0]).publisher_id == "1"
    with pytest.raises(RecordError, match="no row for ecg_id 2"):
        dataset("ptbxl").read(headers[1])


@pytest.mark.parametrize("content", ["", "version https://git-lfs.github.com/spec/v1\n", "a,b\n1,2\n", "\x00"])
def test_ptbxl_with_a_damaged_table(tmp_path, files, content):
    root = files.write_ptbxl(tmp_path, [(1, *ROW)])
    (root / "ptbxl_database.csv").write_text(content)
    with pytest.raises(RecordError, match=r"ptbxl_database\.csv: "):
        dataset("ptbxl").read(root / "records500/00000/00001_hr.hea")


def test_a_replaced_table_is_read_again(tmp_path, files):
    root = files.write_ptbxl(tmp_path, [(1, *ROW)])
    header = dataset("ptbxl").find(root)[0]
    before = dataset("ptbxl").read(header)
    table = root / "ptbxl_database.csv"
    table.write_text(table.read_text().replace("'SR': 0.0", "'AFIB': 0.0, 'SR': 0.0"))
    assert dataset("ptbxl").read(header).labels == before.labels | {"AF"}


def test_ptbxl_reads_its_table_once(tmp_path, files, monkeypatch):
    from ecg_ramba.data import ptbxl

    root = files.write_ptbxl(tmp_path, [(i, *ROW) for i in range(1, 6)])
    opened = []
    original = ptbxl.read_bytes
    monkeypatch.setattr(ptbxl, "read_bytes", lambda path, what: opened.append(path) or original(path, what))
    for header in dataset("ptbxl").find(root):
        dataset("ptbxl").read(header)
    assert len(opened) == 1


def test_quality_of_a_constant_lead():
    import numpy as np

    quality = quality_of(np.array([[0, 0, 0, 0], [1, 2, 9, 2]], dtype=np.float32), ("I", "II"))
    assert (quality.dead_leads, quality.peak_mv) == (("I",), 7.0)


def test_quality_by_einthovens_law():
    import numpy as np

    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(2, 500))
    sound = np.stack([one, two, two - one]).astype(np.float32)
    assert quality_of(sound + np.array([[5], [-2], [1]]), ("I", "II", "III")).einthoven < 1e-6
    wrong = sound * np.array([[1], [1], [0.5]])
    expected = np.std(0.5 * sound[2]) / np.std(sound[1])
    assert quality_of(wrong, ("I", "II", "III")).einthoven == pytest.approx(expected, rel=0.05)
    assert np.isnan(quality_of(sound[:2], ("I", "II")).einthoven)
    assert np.isnan(quality_of(sound, ("I", "II", "III"), "SD").einthoven)


def test_readers_work_in_other_processes(tmp_path, files):
    root = files.write_ptbxl(tmp_path / "ptbxl", [(i, *ROW) for i in (1, 2, 3)])
    header = files.write_dynamic(tmp_path, "data_1_1", [(9, 28, "(AFIB")])
    jobs = [("ptbxl", h) for h in dataset("ptbxl").find(root)] + [("cpsc2021", header)]
    here = [dataset(name).read(h).signal_digest for name, h in jobs]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        readers = [dataset(name) for name, _ in jobs]
        there = [r.signal_digest for r in pool.map(type(readers[0]).read, readers[:3], [h for _, h in jobs[:3]])]
        there += [pool.submit(readers[3].read, header).result().signal_digest]
    assert here == there


def test_readers_can_be_sent_to_processes():
    for d in datasets().values():
        again = pickle.loads(pickle.dumps(d))
        assert (again.name, again.annotated("")) == (d.name, d.annotated(""))


def test_links_are_followed_and_loops_are_not(tmp_path, files):
    files.write_record(tmp_path / "elsewhere", "E00001", files.ecg(12, 600))
    root = tmp_path / "data"
    root.mkdir()
    (root / "georgia").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(root)
    assert dataset("georgia").find(root) == [root / "georgia" / "E00001.hea"]
    assert dataset("georgia").find(root / "georgia") == [root / "georgia" / "E00001.hea"]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([".hea", ".dat", ".atr"]),
    st.lists(st.tuples(st.integers(0, 20_000), st.binary(min_size=1, max_size=6)), min_size=1, max_size=4),
    st.integers(0, 20_000),
)
def test_damage_is_refused_or_survived_but_never_a_traceback(tmp_path, files, ending, patches, length):
    marks = [(0, 28, "(AFIB"), (30, 1, "None"), (1900, 1, ""), (3500, 28, "(N")]
    header = files.write_dynamic(tmp_path, "data_1_1", marks)
    path = header.with_suffix(ending)
    content = bytearray(path.read_bytes())
    for at, patch in patches:
        at %= len(content)
        content[at : at + len(patch)] = patch
    path.write_bytes(bytes(content[: length % (2 * len(content))]))
    try:
        record = dataset("cpsc2021").read(header)
    except RecordError as error:
        said = str(error)
    else:
        said = f"{record.source}: {record.signal.shape}"
    assert "\n" not in said
