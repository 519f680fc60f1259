"""Subjects and signals: nobody and nothing stands in two folds, or in the source and a target."""

import pandas as pd

from ecg_ramba.harness.audit.checks import Check, Stored, judge, plural, unchecked

SUBJECTS, SIGNALS = "subjects", "signals"
NO_RECORDS = "the run has no records.parquet (it was made by an older version)"
NO_SOURCE = "the run scores no recording of its source"
FOLDS = "no {} is in two folds"
ABROAD = "no {} is in a target"
AGREE = "splits.json, records.parquet and labels.parquet say the same"


def check_people(stored: Stored) -> list[Check]:
    """Subjects and signals across folds, and across source and targets."""
    claims = [(SUBJECTS, FOLDS.format("subject")), (SIGNALS, FOLDS.format("signal"))]
    claims += [(SUBJECTS, ABROAD.format("subject of the source")), (SIGNALS, ABROAD.format("signal of the source"))]
    if stored.people is None or not len(stored.source):
        why = NO_RECORDS if stored.people is None else NO_SOURCE
        return [unchecked(part, claim, why) for part, claim in claims] + [_agree(stored)]
    return [
        _in_folds(stored, "subject", *claims[0]),
        _in_folds(stored, "signal_digest", *claims[1]),
        _subjects_abroad(stored, *claims[2]),
        _signals_abroad(stored, *claims[3]),
        _agree(stored),
    ]


def _in_folds(stored: Stored, column: str, part: str, claim: str) -> Check:
    source = stored.source
    folds = source.groupby(column)["fold"].nunique()
    problems = []
    for key in folds.index[folds > 1]:
        of = source[source[column] == key]
        named = ", ".join(f"{r} (fold {f})" for r, f in zip(of["record"], of["fold"], strict=True))
        problems.append(f"{'subject ' + str(key) if column == 'subject' else 'one signal'}: records {named}")
    n, k = len(folds), source["fold"].nunique()
    what = "subject" if column == "subject" else "signal"
    counted = f"{plural(n, what)} of {plural(len(source), 'record')} in {plural(k, 'fold')}"
    unknown = int((~source["subject_known"]).sum()) if column == "subject" else 0
    return judge(part, claim, problems, counted + (f"; of {unknown:,} the subject is not known" if unknown else ""))


def keys(table: pd.DataFrame, *columns: str) -> pd.Series:
    """Several columns as one key."""
    return table[list(columns)].astype(str).agg("\x1f".join, axis=1)


def _subjects_abroad(stored: Stored, part: str, claim: str) -> Check:
    """Subjects within one publisher where both sides know them, and recordings by the publisher's own names."""
    source, targets = stored.source, stored.targets
    claim += " of the same publisher"
    if not len(targets):
        return unchecked(part, claim, "the run has no target")
    known = [t[t["subject_known"]] for t in (source, targets)]
    found = [keys(t, "publisher", "subject") for t in known]
    shared = known[1][found[1].isin(set(found[0])).to_numpy()]
    problems = [f"subject {r.subject} of {r.publisher}: {r.dataset} record {r.record}" for r in shared.itertuples()]
    names = [keys(t, "publisher", "publisher_id") for t in (source, targets)]
    same = targets[names[1].isin(set(names[0])).to_numpy()]
    problems += [
        f"{r.publisher}'s {r.publisher_id} is a record of the source and of {r.dataset}" for r in same.itertuples()
    ]
    publishers = sorted(set(source["publisher"]) & set(targets["publisher"]))
    counted = f"{plural(len(source), 'record')} of the source, {len(targets):,} of targets, "
    counted += f"of {', '.join(publishers)} on both sides" if publishers else "by no common publisher"
    return judge(part, claim, problems, counted)


def _signals_abroad(stored: Stored, part: str, claim: str) -> Check:
    source, targets = stored.source, stored.targets
    if not len(targets):
        return unchecked(part, claim, "the run has no target")
    at_home = dict(zip(source["signal_digest"], source["record"], strict=True))
    shared = targets[targets["signal_digest"].isin(at_home.keys())]
    problems = [
        f"{r.dataset} record {r.record} has the samples of the source's {at_home[r.signal_digest]}"
        for r in shared.itertuples()
    ]
    counted = f"{plural(len(at_home), 'signal')} of the source, {targets['signal_digest'].nunique():,} of targets"
    return judge(part, claim, problems, counted)


def _agree(stored: Stored) -> Check:
    """Whether the files that hold folds and subjects say the same."""
    labels = stored.suite.labels.drop_duplicates(["task", "dataset", "record", "segment"])
    problems, compared = [], 0
    if stored.people is None and stored.held_out is None:
        return unchecked(SUBJECTS, AGREE, "only labels.parquet is there")
    sources = {t.name for t in stored.suite.tasks if t.source}
    home = labels[labels["task"].isin(sources)]
    if stored.held_out is not None:
        split = home["record"].map(stored.held_out)
        wrong = home[(split != home["fold"]).to_numpy()]
        problems += [_folds_differ(stored, r, "labels") for r in wrong.itertuples()]
        compared += len(home)
    if stored.people is not None:
        columns = ["dataset", "record", "subject", "fold"]
        both = labels[columns].merge(stored.people[columns], on=columns[:2], how="left", suffixes=("", "_there"))
        wrong = both[(both["subject"] != both["subject_there"]) | (both["fold"] != both["fold_there"])]
        problems += [
            f"{r.dataset} record {r.record}: subject {r.subject}, fold {r.fold} in labels.parquet, "
            f"{r.subject_there}, {r.fold_there} in records.parquet"
            for r in wrong.drop_duplicates(columns[:2]).itertuples()
        ]
        compared += len(both)
    if stored.people is not None and stored.held_out is not None:
        source = stored.source
        wrong = source[(source["record"].map(stored.held_out) != source["fold"]).to_numpy()]
        problems += [_folds_differ(stored, r, "records") for r in wrong.itertuples()]
        lost = sorted(stored.held_out.keys() - set(source["record"]))
        problems += [f"record {r} is in splits.json alone" for r in lost]
        compared += len(source)
    lacking = [f for f, of in (("splits.json", stored.held_out), ("records.parquet", stored.people)) if of is None]
    without = f"; {' and '.join(lacking)} is not there" if lacking else ""
    return judge(SUBJECTS, AGREE, problems, f"{compared:,} entries{without}")


def _folds_differ(stored: Stored, row, file: str) -> str:
    split = stored.held_out.get(row.record, "none")
    return f"record {row.record}: fold {row.fold} in {file}.parquet, {split} in splits.json"
