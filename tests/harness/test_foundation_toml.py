"""Descriptions of foundation models: what is missing or wrong is one line, before anything runs."""

import json
from pathlib import Path

import pytest

import ablations.__main__
from ecg_ramba.errors import UserError
from ecg_ramba.harness.foundation import foundation_variants

DATA = ("synthetic-source", "synthetic-third")
NONE = dict.fromkeys(DATA, "none")


def described(folder, overlap=NONE, leave=(), **changes):
    """A description, and a weights file that nothing here may load."""
    (folder / "tiny.ts").write_bytes(b"never loaded here")
    content = {"name": "tiny", "reference": "this test", "rate": 250, "units": "z-score", "weights": "tiny.ts"}
    lines = [f"{k} = {json.dumps(v)}" for k, v in (content | changes).items() if k not in leave]
    if overlap is not None:
        lines += ["[overlap]", *(f"{k} = {json.dumps(v)}" for k, v in overlap.items())]
    path = folder / f"{(content | changes)['name'].replace('/', '_')}.toml"
    path.write_text("\n".join(lines))
    return path


def test_a_description_is_a_frozen_model_with_a_probe(tmp_path):
    overlap = NONE | {"synthetic-third": "pretraining:  half \n of it", "ptbxl": "unknown"}
    path = described(tmp_path, overlap, title="Tiny", leads=["v6", "AVR"], output="logits")
    (variant,) = foundation_variants([path], DATA)
    assert (variant.name, variant.title, variant.model) == (
        "tiny",
        "Tiny, linear probe on its logits",
        "foundation_probe",
    )
    config = variant.configuration("small")
    assert (config.rate, config.leads, config.samples) == (250.0, ("V6", "aVR"), 1250)
    assert config.overlap == {
        "synthetic-source": "none",
        "synthetic-third": "pretraining: half of it",
        "ptbxl": "unknown",
    }
    assert config.weights == str((tmp_path / "tiny.ts").resolve())
    assert len(config.sha256) == 64


def test_the_readmes_example_is_a_description(tmp_path):
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (example,) = (part.split("```")[0] for part in text.split("```toml\n")[1:] if part.startswith("name = "))
    (tmp_path / "founder.ts").write_bytes(b"")
    (tmp_path / "founder.toml").write_text(example, encoding="utf-8")
    (variant,) = foundation_variants([tmp_path / "founder.toml"], ("chapman", "ptbxl", "georgia"))
    assert variant.configuration("full").samples == 5000


@pytest.mark.parametrize(
    ("overlap", "message"),
    [
        (None, 'pretraining saw of synthetic-source; add to [overlap]: synthetic-source = "none"'),
        ({}, "and the same for synthetic-third"),
        ({"synthetic-source": "none"}, "pretraining saw of synthetic-third; add to [overlap]"),
        (NONE | {"synthetic-third": "no"}, "the overlap with synthetic-third is 'no'; write"),
        (NONE | {"synthetic-third": ""}, "the overlap with synthetic-third is ''; write"),
        (NONE | {"synthetic-third": True}, "the overlap with synthetic-third is True; write"),
    ],
)
def test_without_its_statement_no_model_runs(tmp_path, capsys, monkeypatch, overlap, message):
    monkeypatch.chdir(tmp_path)
    path = described(tmp_path, overlap)
    options = ["--foundation", str(path), "--target", "synthetic-third", "--source", "synthetic-source"]
    options += ["--data", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]
    assert ablations.__main__.main(options) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {path}: ")
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_name_that_is_taken(tmp_path, capsys):
    options = ["--foundation", str(described(tmp_path, name="ecg_ramba")), "--target", "synthetic-third"]
    options += ["--source", "synthetic-source", "--data", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]
    assert ablations.__main__.main(options) == 2
    assert "two variants of this run would be called 'ecg_ramba'" in capsys.readouterr().err
    one = described(tmp_path)
    with pytest.raises(UserError, match="another description is called 'tiny'"):
        foundation_variants([one, one], DATA)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"leave": ("name",)}, "lacks name"),
        ({"leave": ("reference", "units")}, "lacks reference, units"),
        ({"leave": ("weights",)}, "lacks weights"),
        ({"weights": "gone.ts"}, "gone.ts cannot be read"),
        ({"weights": "."}, "cannot be read (Is a directory)"),
        ({"python": "no colon"}, 'write "package.module:function"'),
        ({"python": "no_such_module:f"}, "the module no_such_module cannot be found"),
        ({"python": "no_such_package.module:f"}, "the module no_such_package.module cannot be found"),
        ({"units": "mV"}, "units is 'mV'; leads come as their z-score"),
        ({"rate": 0}, "lacks rate"),
        ({"rate": -1}, "rate is -1"),
        ({"rate": "fast"}, "rate is 'fast'; a number is needed"),
        ({"rate": True}, "rate is True; a number is needed"),
        ({"samples": 1300}, "5 s are 1250 at 250 Hz; pad = true puts zeros after it"),
        ({"samples": 2501, "seconds": 10}, "10 s are 2500 at 250 Hz; pad = true puts zeros after it"),
        ({"seconds": 7}, "seconds is 7; 5 (a window) and 10 (a segment) are possible"),
        ({"samples": 1000, "pad": False}, "pad = true cuts off its end"),
        ({"samples": 0}, "samples is 0"),
        ({"samples": True}, "samples is True; a whole number is needed"),
        ({"leads": ["I", "X"]}, "leads holds X; name each once, of I, II"),
        ({"leads": ["I", "i"]}, "leads holds I; name each once"),
        ({"leads": []}, "leads holds none"),
        ({"leads": "I"}, "leads is 'I'; a list is needed"),
        ({"output": "tokens"}, "use embedding or logits"),
        ({"name": "../up"}, "use letters, digits"),
        ({"overlaps": "none"}, "knows no overlaps"),
    ],
)
def test_what_is_wrong_with_a_description_is_said(tmp_path, changes, message):
    path = described(tmp_path, **changes)
    with pytest.raises(UserError) as caught:
        foundation_variants([path], DATA)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no such file"), (b"name = ", "is no TOML"), (b"\xff", "is no TOML")]
)
def test_files_that_are_no_description(tmp_path, content, message):
    path = tmp_path / "a.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        foundation_variants([path], DATA)
