"""Models are found by name; a plug-in that is broken in any way is one clear error."""

from types import SimpleNamespace

import pytest

from ecg_ramba import models
from ecg_ramba.data import registry
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


@pytest.mark.parametrize("error", [SyntaxError("bad"), NameError("bad\nmore"), ImportError("bad"), SystemExit("bad")])
def test_a_plug_in_that_cannot_be_imported_is_named(monkeypatch, error):
    point = raising(error)
    monkeypatch.setattr(models, "entry_points", lambda **k: [point])
    with pytest.raises(UserError, match=rf"model 'mine' \(mine:SPEC\) cannot be imported: {type(error).__name__}: bad"):
        model_spec("mine")
    monkeypatch.setattr(variants, "entry_points", lambda **k: [point])
    with pytest.raises(UserError, match=rf"ablations 'mine' .*cannot be imported: {type(error).__name__}: bad"):
        variants.all_variants()


@pytest.mark.parametrize("members", [7, None, [1, 2], len])
def test_a_plug_in_that_holds_something_else_is_named(monkeypatch, members):
    point = SimpleNamespace(name="mine", value="mine:THEM", load=lambda: members)
    monkeypatch.setattr(variants, "entry_points", lambda **k: [point])
    with pytest.raises(UserError, match=r"ablations 'mine' \(mine:THEM\) cannot be imported: TypeError"):
        variants.all_variants()
    monkeypatch.setattr(registry, "entry_points", lambda **k: [point])
    with pytest.warns(UserWarning, match="data sets of mine:THEM are left out, it cannot be imported: TypeError"):
        assert registry.datasets() == {}


def test_an_estimator_must_say_how_many_weights_it_has():
    spec = model_spec("hrv_logistic")
    with pytest.raises(UserError, match="'hrv_logistic' lacks parameters"):
        models.estimator_parameters(spec, object())


def test_a_plug_in_that_is_no_specification_is_named(monkeypatch):
    point = SimpleNamespace(name="mine", value="mine:SPEC", load=lambda: {"name": "mine"})
    monkeypatch.setattr(models, "entry_points", lambda **k: [point])
    with pytest.raises(UserError, match="is a dict; name a ModelSpec"):
        model_spec("mine")


def test_a_kind_that_the_harness_cannot_train_is_refused():
    with pytest.raises(UserError, match="use network or estimator"):
        ModelSpec(name="m", title="m", reference="", kind="forest", profile=str, streams=frozenset, build=print)
