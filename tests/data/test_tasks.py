"""Tasks and truth: what is unknown is never negative, what crosses a border is dropped and counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecg_ramba.data.labels import PAPER27, label_space
from ecg_ramba.data.record import Episode
from ecg_ramba.data.tasks import AF_AFL, TRUTH_COLUMNS, build_tasks, in_af, truth_of
from ecg_ramba.errors import UserError

SPACE = label_space("merged24")
EVERYTHING = frozenset(SPACE.classes)


def truth_rows(frame, task, cls):
    rows = frame[(frame["task"] == task) & (frame["cls"] == cls)]
    return dict(zip(rows["record"], zip(rows["positive"], rows["known"], strict=True), strict=True))


def test_a_class_that_a_hospital_never_annotates_is_unknown_there(prepared_toy):
    data = prepared_toy(
        [{"AF"}, set(), {"AFL"}, set()],
        hospitals=["a", "a", "b", "b"],
        annotated={"a": frozenset({"AF", "AFL"}), "b": frozenset({"AFL"})},
    )
    truth = truth_of(data, SPACE)
    af, afl = SPACE.classes.index("AF"), SPACE.classes.index("AFL")
    assert truth.known[:, af].tolist() == [True, True, False, False]
    assert truth.known[:, afl].all()
    tasks, frame, _ = build_tasks(data, [], SPACE, EVERYTHING, np.ones(4))
    assert "TInv" not in tasks[0]["scores"]
    assert truth_rows(frame, "source", "AF")["toy002"] == (False, False)
    assert list(truth_rows(frame, "source", AF_AFL).values()) == [
        (True, True), (False, True), (True, True), (False, True),
    ]  # fmt: skip


def test_macro_averages_use_the_union_in_place_of_the_two(prepared_toy):
    tasks, _, _ = build_tasks(prepared_toy([{"AF"}, {"SB"}]), [], SPACE, EVERYTHING, np.array([1, 2]))
    assert AF_AFL in tasks[0]["macro"]
    assert not {"AF", "AFL"} & set(tasks[0]["macro"])
    assert {"AF", "AFL"} <= set(tasks[0]["scores"])
    assert tasks[0]["scores"][AF_AFL] == {"op": "max", "of": ["AF", "AFL"]}


def test_a_union_with_one_member_trained_says_so(prepared_toy):
    source = prepared_toy([{"SB"}, {"AFL"}], annotated={"SB", "AFL"})
    target = prepared_toy([{"AF"}, {"AFL"}], name="other", annotated={"AF", "AFL"})
    episodes = [[[0.0, 10.0, "AFIB"]], []]
    rhythm = prepared_toy([set(), set()], name="third", episodes=episodes)
    tasks, _, _ = build_tasks(source, [target, rhythm], SPACE, frozenset({"SB", "AFL"}), np.array([1, 2]))
    assert [t["task"] for t in tasks] == ["source", "other", "third-window", "third-record"]
    for task in tasks:
        assert task["scores"][AF_AFL]["of"] == ["AFL"]
        assert any("AF not trained" in note for note in task["notes"])
    both, _, _ = build_tasks(source, [target], SPACE, frozenset({"AF", "AFL"}), np.array([1, 2]))
    assert not both[1]["notes"]


def test_a_source_that_is_not_scored_has_no_task(prepared_toy):
    target = prepared_toy([{"SB"}, {"PAC"}], annotated={"SB", "PAC"})
    tasks, _, _ = build_tasks(None, [target], SPACE, frozenset({"SB", "SNR"}), None)
    assert [(t["role"], set(t["scores"])) for t in tasks] == [("target", {"SB"})]
    with pytest.raises(UserError, match="no class is both annotated there and trained"):
        build_tasks(None, [target], SPACE, frozenset({"TInv"}), None)


def test_merged_labels_count_as_one_diagnosis(prepared_toy):
    data = prepared_toy([{"CRBBB"}, {"RBBB"}, {"SVPB"}, {"VPB"}])
    y = truth_of(data, SPACE).y
    assert y[:, SPACE.classes.index("RBBB")].tolist() == [True, True, False, False]
    assert y[:, SPACE.classes.index("PAC")].tolist() == [False, False, True, False]
    apart = truth_of(data, label_space("paper27"))
    assert apart.y[:, PAPER27.index("CRBBB")].tolist() == [True, False, False, False]


def test_a_target_is_scored_on_the_classes_that_both_sides_annotate_and_a_fold_trains(prepared_toy):
    source = prepared_toy([{"SB"}, {"SNR"}], annotated={"SB", "SNR", "TInv"})
    target = prepared_toy([{"SB"}, {"PAC"}], name="other", annotated={"SB", "PAC", "TInv"})
    tasks, _, _ = build_tasks(source, [target], SPACE, frozenset({"SB", "SNR"}), np.array([1, 2]))
    assert set(tasks[1]["scores"]) == {"SB"}


def test_superclasses_take_the_maximum_over_trained_classes_and_say_what_is_missing(prepared_toy):
    source = prepared_toy([{"SB"}, {"RBBB"}])
    target = prepared_toy(
        [{"SB"}, {"RBBB"}, set(), set()],
        name="ptbxl",
        superclasses=[("NORM",), ("CD",), ("CD", "MI"), ()],
        strat_fold=[10, 1, 10, 10],
    )
    trained = frozenset({"SB", "RBBB", "LBBB"})
    tasks, frame, _ = build_tasks(source, [target], SPACE, trained, np.array([1, 2]))
    task = next(t for t in tasks if t["task"] == "ptbxl-superclass")
    assert task["scores"]["CD"] == {"op": "max", "of": ["LBBB", "RBBB"]}
    assert task["scores"]["NORM"] == {"op": "max", "of": ["SB"]}
    assert task["scores"]["NORM (1 - max abnormal)"] == {"op": "1-max", "of": ["LBBB", "RBBB"]}
    assert "MI" not in task["scores"]
    assert any("MI: QAb" in note for note in task["notes"])
    cd = truth_rows(frame, "ptbxl-superclass", "CD")
    assert cd["ptbxl003"] == (False, False)  # no superclass at all: unknown
    assert cd["ptbxl002"] == (True, True)
    fold10 = truth_rows(frame, "ptbxl-superclass-fold10", "CD")
    assert set(fold10) == {"ptbxl000", "ptbxl002", "ptbxl003"}


def test_segments_that_cross_a_border_are_dropped_and_counted(prepared_toy):
    target = prepared_toy(
        [{"AF"}, set()], name="rhythm", n_segments=[5, 2], episodes=[[[10.0, 25.0, "AFIB"], [30.0, 40.0, "AFL"]], []]
    )
    tasks, frame, dropped = build_tasks(prepared_toy([{"AF"}, set()]), [target], SPACE, EVERYTHING, np.array([1, 2]))
    assert dropped == {"rhythm": 1}
    window = frame[frame["task"] == "rhythm-window"]
    assert dict(zip(zip(window["record"], window["segment"], strict=True), window["positive"], strict=True)) == {
        ("rhythm000", 0): False,
        ("rhythm000", 1): True,
        ("rhythm000", 3): True,
        ("rhythm000", 4): False,
        ("rhythm001", 0): False,
        ("rhythm001", 1): False,
    }
    record = frame[frame["task"] == "rhythm-record"]
    assert record["positive"].tolist() == [True, False]
    assert (record["segment"] == -1).all()
    assert {t["task"]: t["unit"] for t in tasks[1:]} == {"rhythm-window": "segment", "rhythm-record": "record"}
    assert list(frame.columns) == list(TRUTH_COLUMNS)


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(1, 100)), max_size=4),
    st.integers(0, 300),
    st.integers(1, 100),
)
def test_inside_outside_and_crossing_equal_a_count_of_tenths(spans, start, length):
    covered = np.zeros(500, dtype=bool)
    episodes, end = [], 0
    for begin, n in spans:
        begin = end + begin
        end = begin + n
        if end < 500:
            covered[begin:end] = True
            episodes.append(Episode(start=begin / 10, end=end / 10, rhythm="AFIB"))
    part = covered[start : start + length]
    expected = True if part.all() else (None if part.any() else False)
    assert in_af(start / 10, (start + length) / 10, tuple(episodes)) is expected


@pytest.mark.parametrize(("rhythm", "expected"), [("AFIB", True), ("AFL", True), ("N", False), ("SBR", False)])
def test_only_fibrillation_and_flutter_count(rhythm, expected):
    assert in_af(0, 10, (Episode(start=0, end=10, rhythm=rhythm),)) is expected
