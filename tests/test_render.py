"""One document in Markdown, HTML, LaTeX, CSV and figures: the same words, nothing that could run, no clashes."""

import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from ecg_ramba.document import Figure, Picture, Section, Table, Text
from ecg_ramba.render import latex, write_document


def drawing():
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    made = Canvas(figsize=(2, 1))
    FigureCanvasAgg(made)
    made.subplots().plot([0, 1])
    return made


TABLE = Table(
    "t", "A caption with 5 % & more", ["Model", "AF|AFL"], [["**ECG**", "0.9_1"], ["<script>x</script>", "–"]]
)
INNER = Section("Below", (Text("- one\n- two `code`"),))
PARTS = (Text("A **bold** word, <b>no tag</b>."), TABLE, Figure("f", "What it <shows>", drawing), INNER)
FRAME = pd.DataFrame({"a": [1 / 3, float("nan")]})


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("document")
    sections = [Section("First", PARTS, {"numbers": FRAME}), Section("Second", (Text("end"),))]
    return folder, write_document("A title", "Small sample", sections, folder, "report")


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_files(written):
    folder, files = written
    names = [f.relative_to(folder).as_posix() for f in files]
    assert names == ["report.md", "report.html", "numbers.csv", "tables/t.tex", "f.png", "f.pdf"]
    there = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()]
    assert sorted(there) == sorted([*names, ".report.files.json"])
    assert (folder / "numbers.csv").read_text() == 'a\n0.33333333\n""\n'


def test_what_an_earlier_document_left_is_deleted_and_nothing_else(tmp_path):
    folder, own = tmp_path / "report", tmp_path / "report" / "notes.txt"
    write_document("A title", "", [Section("First", PARTS, {"numbers": FRAME})], folder, "report")
    own.write_text("somebody's")
    (folder / "other.csv").write_text("another document's")
    outside = tmp_path / "outside.txt"
    outside.write_text("not ours")
    listed = folder / ".report.files.json"
    listed.write_text(json.dumps([*json.loads(listed.read_text()), "../outside.txt", str(outside), "gone.png"]))
    files = write_document("A title", "", [Section("First", (Text("end"),))], folder, "report")
    assert [f.name for f in files] == ["report.md", "report.html"]
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert there == {"report.md", "report.html", "notes.txt", "other.csv", ".report.files.json"}
    assert outside.is_file()


def test_markdown(written):
    text = written[1][0].read_text()
    assert re.findall(r"^#+ .*", text, re.M) == ["# A title", "## First", "### Below", "## Second"]
    assert "> **Small sample**" in text
    assert "| Model | AF\\|AFL |" in text
    assert "![What it <shows>](f.png)" in text


def test_html_is_whole_and_runs_nothing(written):
    text = written[1][1].read_text()
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    names = [t for t, _ in tags.seen]
    assert "script" not in names
    assert "b" not in names
    assert "&lt;script&gt;x&lt;/script&gt;" in text
    assert "<strong>ECG</strong>" in text
    outside = [v for _, attrs in tags.seen for k, v in attrs.items() if k in ("src", "href")]
    assert outside
    assert all(v.startswith(("data:image/png;base64,", "#s")) for v in outside)
    assert all(attrs.get("alt") for t, attrs in tags.seen if t == "img")
    policy = next(a["content"] for t, a in tags.seen if t == "meta" and "http-equiv" in a)
    assert "default-src 'none'" in policy
    ids = {a["id"] for _, a in tags.seen if "id" in a}
    assert {v[1:] for v in outside if v.startswith("#")} == ids == {"s1", "s2"}


def test_latex_escapes():
    text = latex(TABLE)
    for part in (r"5 \% \& more", r"0.9\_1", r"\toprule", "ECG &", r"\label{tab:t}", "-- \\\\"):
        assert part in text, part


@pytest.mark.drawn
def test_the_same_bytes_twice(written, tmp_path):
    sections = [Section("First", PARTS, {"numbers": FRAME}), Section("Second", (Text("end"),))]
    again = write_document("A title", "Small sample", sections, tmp_path, "report")
    assert [f.read_bytes() for f in again] == [f.read_bytes() for f in written[1]]


def test_a_picture_is_taken_as_it_is(written, tmp_path):
    before = Picture("earlier", "As it was", written[0] / "f.png")
    files = write_document("t", "", [Section("s", (before,))], tmp_path, "report")
    assert [f.name for f in files] == ["report.md", "report.html", "earlier.png"]
    assert files[2].read_bytes() == (written[0] / "f.png").read_bytes()
    assert "![As it was](earlier.png)" in files[0].read_text()


@pytest.mark.parametrize("doubled", [(TABLE, TABLE), (Figure("f", "", drawing), Figure("f", "", drawing))])
def test_a_name_twice_is_refused_before_anything_is_written(doubled, tmp_path):
    with pytest.raises(ValueError, match="twice"):
        write_document("t", "", [Section("s", doubled)], tmp_path, "report")
    assert not list(tmp_path.iterdir())


def test_a_frame_twice_is_refused(tmp_path):
    with pytest.raises(ValueError, match="numbers twice"):
        write_document("t", "", [Section(n, (), {"numbers": FRAME}) for n in "ab"], tmp_path, "report")
