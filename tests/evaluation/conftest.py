"""A fake suite folder: SYNTHETIC labels and SYNTHETIC probabilities, drawn at random, in the stored files' format.

Nothing here was recorded from anyone or predicted by any model. Each variant's logit is ``skill * label + noise``, the
noise shared by the windows of a unit in part, so that ``skill`` 0 is chance and every score has a known truth.
"""

import json

import numpy as np
import pandas as pd
import pytest

CLASSES = ("AF", "AFL", "IAVB", "LBBB", "PAC", "SNR")
SOURCE, THIRD, RHYTHM = "synthetic-source", "synthetic-third", "synthetic-rhythm"
PREVALENCE = {"AF": 0.25, "AFL": 0.15, "IAVB": 0.35, "LBBB": 0.2, "PAC": 0.3, "SNR": 0.5}
OWN = {c: {"op": "max", "of": [c]} for c in CLASSES}
EITHER = {"AF|AFL": {"op": "max", "of": ["AF", "AFL"]}}
MACRO = ["AF|AFL", "IAVB", "LBBB", "PAC", "SNR"]


def _task(name, dataset, unit, role, scores, macro, derived=False, notes=()):
    return {
        "task": name, "dataset": dataset, "unit": unit, "role": role, "scores": scores, "macro": macro,
        "derived": derived, "notes": list(notes),
    }  # fmt: skip


def _data(name, records, subjects, synthetic):
    return {
        "name": name, "records": records, "subjects": subjects, "segments": records, "windows": 3 * records,
        "digest": "0" * 64, "refused": 1, "removed_overlap": 0, "unlabelled": 2, "dropped_segments": 0,
        "synthetic": synthetic,
    }  # fmt: skip


class FakeSuite:
    """Writes a suite folder; attributes say what was drawn."""

    def __init__(self, folder, *, n=150, subjects=None, folds=5, seeds=1, skills=None, synthetic=True, rng=0,
                 prevalence=None, shuffle=False, rhythm=True, names=None, poolings=True, n_target=None):  # fmt: skip
        self.folder, self.folds, self.seeds, self.synthetic = folder, folds, seeds, synthetic
        self.rng = np.random.default_rng(rng)
        self.prevalence = PREVALENCE | (prevalence or {})
        self.skills = skills or {"ecg_ramba": 2.0, "no_hrv": 1.0, "class_prior": None}
        self.shuffle, self.rhythm, self.poolings = shuffle, rhythm, poolings
        self.datasets = {}
        for name, size in ((SOURCE, n), (THIRD, n_target or n)):
            who = subjects or max(2, size // 2)
            subject = np.array([f"s{i % who:05d}" for i in range(size)])
            y = {c: self.rng.random(size) < self.prevalence[c] for c in CLASSES}
            fold = np.array([int(s[1:]) % folds + 1 for s in subject]) if name == SOURCE else np.full(size, -1)
            record = np.array([f"r{i:05d}" for i in range(size)])
            self.datasets[name] = {"record": record, "subject": subject, "y": y, "fold": fold}
        self.tasks = [
            _task("source", SOURCE, "record", "source", OWN | EITHER, MACRO),
            _task(THIRD, THIRD, "record", "target", OWN | EITHER, MACRO, notes=["each record is its own subject"]),
            _task(f"{THIRD}-superclass", THIRD, "record", "target", {
                "NORM": {"op": "max", "of": ["SNR"]}, "CD": {"op": "max", "of": ["LBBB", "IAVB"]},
                "NORM*": {"op": "1-max", "of": ["LBBB", "IAVB"]}}, ["NORM", "CD"], derived=True),
        ]  # fmt: skip
        if rhythm:
            self.tasks += [
                _task(f"{RHYTHM}-window", RHYTHM, "segment", "target", EITHER, ["AF|AFL"]),
                _task(f"{RHYTHM}-record", RHYTHM, "record", "target", EITHER, ["AF|AFL"]),
            ]
        self._rhythm_labels()
        self.labels = self._labels()
        self.variants = self._variants()
        self.info = {
            "key": "k" * 64, "created": "2024-01-01T00:00:00Z", "source": SOURCE,
            "source_subjects": len(set(self.datasets[SOURCE]["subject"])), "targets": [THIRD, RHYTHM],
            "profile": "small", "folds": folds, "seeds": seeds, "synthetic": synthetic,
            "label_space": "merged24", "mapping_digest": "m" * 64, "backend": "torch", "precision": "float32",
            "threads": 1, "commit": "c" * 40, "untrained": [], "duplicates": 0, "command": "nox -s ablations",
            "version": "0.1.0",
            "data": [_data(SOURCE, n, len(set(self.datasets[SOURCE]["subject"])), synthetic),
                     _data(THIRD, n, len(set(self.datasets[THIRD]["subject"])), synthetic)],
        }  # fmt: skip
        self.windows = {name: self._windows(skill) for name, skill in self.skills.items()}

    def _rhythm_labels(self):
        rows = []
        for i in range(30):
            af = i % 3 == 0
            length = 6 + i % 5
            inside = set(range(1, 3)) if af else set()
            for s in range(length):
                if af and s == 3:
                    continue  # crosses the border of the episode
                rows.append((f"q{i:03d}", s, f"p{i // 2:03d}", s in inside, length))
        self.segments = pd.DataFrame(rows, columns=["record", "segment", "subject", "positive", "length"])

    def _label_rows(self, task, dataset, record, segment, subject, fold, cls, positive):
        frame = pd.DataFrame({
            "task": task, "dataset": dataset, "record": record, "segment": np.int32(segment), "subject": subject,
            "fold": np.int16(fold), "cls": cls, "positive": positive, "known": True, "paced": False, "hospital": "",
        })  # fmt: skip
        frame["paced"] = np.arange(len(frame)) % 50 == 0
        return frame

    def _labels(self):
        frames = []
        for name, d in self.datasets.items():
            y = d["y"] | {"AF|AFL": d["y"]["AF"] | d["y"]["AFL"]}
            task = "source" if name == SOURCE else name
            for cls, positive in y.items():
                frames.append(self._label_rows(task, name, d["record"], -1, d["subject"], d["fold"], cls, positive))
        d, name = self.datasets[THIRD], f"{THIRD}-superclass"
        for cls, positive in (("NORM", d["y"]["SNR"]), ("CD", d["y"]["LBBB"] | d["y"]["IAVB"])):
            frames.append(self._label_rows(name, THIRD, d["record"], -1, d["subject"], -1, cls, positive))
        if self.rhythm:
            s = self.segments
            whole = s.groupby("record", as_index=False).agg({"subject": "first", "positive": "any"})
            for name, rows, segment in (
                (f"{RHYTHM}-window", s, s["segment"].to_numpy()),
                (f"{RHYTHM}-record", whole, -1),
            ):
                record, subject, positive = (rows[c].to_numpy() for c in ("record", "subject", "positive"))
                frames.append(self._label_rows(name, RHYTHM, record, segment, subject, -1, "AF|AFL", positive))
        return pd.concat(frames, ignore_index=True)

    def _variants(self):
        rows = []
        titles = {"ecg_ramba": "ECG-RAMBA", "no_hrv": "without HRV", "class_prior": "class prior"}
        for i, name in enumerate(self.skills):
            rows.append({
                "name": name, "title": titles.get(name, name), "kind": "trained",
                "windows": f"variants/{name}/windows.parquet", "pooling": {"rule": "power", "q": 3.0},
                "parameters": 1000 * (i + 1), "flops": None, "seconds": 12.5 * i, "peak_mb": 100.0, "status": "ok",
                "reason": "", "note": "", "reference": name == "ecg_ramba",
            })  # fmt: skip
        if self.poolings:
            for name, rule in (("pool_max", {"rule": "max", "q": 3.0}), ("pool_mean", {"rule": "mean", "q": 3.0})):
                rows.append(
                    rows[0] | {"name": name, "title": name, "kind": "pooling", "pooling": rule, "reference": False}
                )
        return rows

    def _windows(self, skill):
        frames = []
        targets = {THIRD: self.datasets[THIRD]}
        if self.rhythm:
            s = self.segments
            record, segment, positive = (s[c].to_numpy() for c in ("record", "segment", "positive"))
            targets[RHYTHM] = {"record": record, "segment": segment, "y": dict.fromkeys(CLASSES, positive)}
        for seed in range(self.seeds):
            d = self.datasets[SOURCE]
            frames.append(
                self._frame(SOURCE, d["record"], np.zeros(len(d["record"]), int), d["y"], d["fold"], seed, skill)
            )
            for name, t in targets.items():
                segment = t.get("segment", np.zeros(len(t["record"]), int))
                for fold in range(1, self.folds + 1):
                    frames.append(
                        self._frame(name, t["record"], segment, t["y"], np.full(len(segment), fold), seed, skill)
                    )
        return pd.concat(frames, ignore_index=True)

    def _frame(self, dataset, record, segment, y, fold, seed, skill):
        n = len(record)
        frame = pd.DataFrame({
            "dataset": dataset, "record": np.repeat(record, 3), "segment": np.repeat(segment, 3).astype(np.int32),
            "start": np.tile([0, 1250, 2500], n).astype(np.int32), "fold": np.repeat(fold, 3).astype(np.int16),
            "seed": np.int16(seed),
        })  # fmt: skip
        for c in CLASSES:
            label = self.rng.permutation(y[c]) if self.shuffle else y[c]
            if skill is None:
                frame[c] = np.float32(self.prevalence[c])
                continue
            noise = np.repeat(self.rng.normal(0, 1, n), 3) + self.rng.normal(0, 0.5, 3 * n)
            frame[c] = (1 / (1 + np.exp(-(skill * (np.repeat(label, 3) - 0.5) + noise)))).astype(np.float32)
        return frame

    def people(self):
        """Who was recorded, as records.parquet has it: drawn at random, nobody real."""
        rng, frames = np.random.default_rng(1), []
        groups = {name: (d["record"], d["subject"], d["fold"]) for name, d in self.datasets.items()}
        if self.rhythm:
            whole = self.segments.drop_duplicates("record")
            groups[RHYTHM] = (whole["record"].to_numpy(), whole["subject"].to_numpy(), np.full(len(whole), -1))
        for name, (record, subject, fold) in groups.items():
            who, of = np.unique(subject, return_inverse=True)
            age = np.where(rng.random(len(who)) < 0.1, np.nan, rng.integers(20, 95, len(who)))
            frames.append(pd.DataFrame({
                "dataset": name, "record": record, "role": "source" if name == SOURCE else "target",
                "fold": fold.astype(np.int16), "subject": subject, "subject_known": True, "publisher": name,
                "publisher_id": record, "hospital": rng.choice(["North", "South"], len(who))[of],
                "device": rng.choice(["Alpha 12", "Beta", ""], len(who))[of], "age": age[of],
                "sex": rng.choice(["male", "female"], len(who))[of], "paced": False, "rate": 500.0, "seconds": 10.0,
                "n_segments": 1, "dead_leads": np.int16(0), "peak_mv": 1.5, "einthoven": 0.01,
                "file": [f"{r}.hea" for r in record], "signal_digest": [f"{name}-{r}" for r in record],
            }))  # fmt: skip
        return pd.concat(frames, ignore_index=True)

    def write(self):
        """Write everything; returns the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, value in (("suite", self.info), ("tasks", self.tasks), ("variants", self.variants)):
            (self.folder / f"{name}.json").write_text(json.dumps(value))
        self.labels.to_parquet(self.folder / "labels.parquet", index=False)
        self.people().to_parquet(self.folder / "records.parquet", index=False)
        for name, frame in self.windows.items():
            path = self.folder / "variants" / name / "windows.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            frame.to_parquet(path, index=False)
        return self.folder


@pytest.fixture
def fake_suite(tmp_path):
    """Factory of synthetic suites; keyword arguments as in FakeSuite."""

    def make(name="suite", **options):
        return FakeSuite(tmp_path / name, **options)

    return make


@pytest.fixture(scope="session")
def fake_suite_class():
    return FakeSuite
