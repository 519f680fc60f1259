"""Models are found by name; a plug-in that is broken in any way is one clear error."""

from types import SimpleNamespace

import pytest

from ecg_ramba import models
from ecg_ramba.errors import UserError
from ecg_ramba.harness import variants
from ecg_ramba.models import ModelSpec, model_names, model_spec


def raising(error):
    """An entry point whose module raises."""

    def load():
        raise error

    return SimpleNamespace(name="mine", value="mine:SPEC", load=load)


def test_every_registered_model_is_of_its_name():
    assert {"ecg_ramba", "resnet1d", "class_prior"} <= set(model_names())
    for name in model_names():
        assert model_spec(name).name == name


@pytest.mark.parametrize("error", [SyntaxError("bad"), NameError("bad"), TypeError("bad"), ImportError("bad")])
def test_a_plug_in_that_cannot_be_imported_is_named(monkeypatch, error):
    point = raising(error)
    monkeypatch.setattr(models, "entry_points", lambda **k: [point])
    with pytest.raises(UserError, match=rf"model 'mine' \(mine:SPEC\) cannot be imported: {type(error).__name__}: bad"):
        model_spec("mine")
    monkeypatch.setattr(variants, "entry_points", lambda **k: [point])
    with pytest.raises(UserError, match=rf"ablations of 'mine' .*cannot be imported: {type(error).__name__}: bad"):
        variants.all_variants()


def test_a_plug_in_that_is_no_specification_is_named(monkeypatch):
    point = SimpleNamespace(name="mine", value="mine:SPEC", load=lambda: {"name": "mine"})
    monkeypatch.setattr(models, "entry_points", lambda **k: [point])
    with pytest.raises(UserError, match="is a dict; name a ModelSpec"):
        model_spec("mine")


def test_a_kind_that_the_harness_cannot_train_is_refused():
    with pytest.raises(UserError, match="use network or estimator"):
        ModelSpec(name="m", title="m", reference="", kind="forest", profile=str, streams=frozenset, build=print)
