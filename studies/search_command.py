"""``nox -s studies -- search MODEL…``: Optuna on the inner source validation."""

from ecg_ramba.harness.options import add_suite_options, add_tracking_options, positive, suite_config

ALL = "all"
COSTS = ("flops", "latency")


def add_command(studies) -> None:
    """Add the study to the command line."""
    made = studies.add_parser("search", help="Optuna search of models' settings on the inner source validation")
    made.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="registered models, for example ecg_ramba resnet1d; all: every one that can be searched",
    )
    made.add_argument("--trials", type=positive, default=20, metavar="N", help="trials a model and fold (default 20)")
    made.add_argument("--cost", choices=COSTS, help="weigh the loss against this; no trial is then ended early")
    made.add_argument(
        "--storage",
        metavar="URL",
        help="postgresql://USER:PASSWORD@HOST/DATABASE, for several machines (default: a journal file for this one)",
    )
    made.add_argument("--name", metavar="NAME", help="of the best configuration, for --config (default: search-KEY)")
    add_suite_options(made, targets=False)
    add_tracking_options(made)
    made.set_defaults(run=run)


def searched_models(names: list[str]) -> tuple[str, ...]:
    """The models that are named; ``all`` stands for every one that can be searched.

    Raises
    ------
    UserError
        For an unknown model, or one without a search space.
    """
    from ecg_ramba.errors import UserError
    from ecg_ramba.models import model_names, model_spec

    if names == [ALL]:
        return tuple(n for n in model_names() if model_spec(n).search_space)
    for name in names:
        if model_spec(name).search_space is None:
            raise UserError(f"model {name!r} has no search space; give its SPEC a search_space(trial, config)")
    return tuple(dict.fromkeys(names))


def run(options) -> None:
    """Search, save the best configurations, write the page, log the trials."""
    import dataclasses

    from ecg_ramba.files import check_writable
    from ecg_ramba.harness.contexts import cache_dir, load_named, make_context
    from ecg_ramba.harness.executors.choose import chosen_executor
    from ecg_ramba.harness.options import command_line, configurations
    from ecg_ramba.harness.progress import Progress
    from ecg_ramba.harness.tracking import check_tracking
    from ecg_ramba.render import listing, write_document
    from ecg_ramba.shared.pieces import publish_files, share
    from studies.search.results import write_best
    from studies.search.storage import check_storage
    from studies.search.study import Search, run_search, search_key
    from studies.search.text import STEM, search_sections
    from studies.search.tracking import log_search

    models = searched_models(options.models)
    if options.storage:
        check_storage(options.storage)
    if not options.no_tracking:
        check_tracking(options.tracking)
    check_writable(options.out)
    executor, progress = chosen_executor(options), Progress()
    options.target = []
    config = dataclasses.replace(suite_config(options), targets=())
    data = load_named([config.source], options.data, cache_dir(options.out), config.signal, executor.here, progress)
    context, _ = make_context(config, data, options.out)
    share(executor, [context.source.folder])
    key = search_key(context, options.cost or "")
    folder = options.out / "studies" / f"search-{key[:12]}"
    search = Search(models, options.trials, options.cost or "", options.storage, folder, key)
    found = run_search(context, search, executor, progress)
    name = options.name or f"search-{key[:12]}"
    place = configurations(options.out) / f"{name}.json"
    write_best(context, search, found, [folder / "best.json", place])
    kind = "SYNTHETIC: " if context.source.synthetic else ""
    opening = "Searched on synthetic recordings: says nothing of patients." if context.source.synthetic else ""
    title = f"{kind}search of {', '.join(models)}, {options.trials} trials a fold"
    files = write_document(title, opening, search_sections(context, search, found), folder, STEM)
    publish_files(folder)
    publish_files(place.parent)
    print(files[0].read_text(encoding="utf-8"))
    print(listing(files))
    if not options.no_tracking:
        log_search(context, search, found, [*files, place], options.tracking)
    print(f"use it: nox -s ablations -- {command_line(use_of(options, config, models, name))}")


def use_of(options, config, models: tuple[str, ...], name: str) -> list[str]:
    """The options of a run that takes what was found: of the same recordings in the same folds, with a variant of each
    model; any other run refuses it."""
    import dataclasses
    from pathlib import Path

    from ecg_ramba.harness.variants import all_variants, choose_variants
    from ecg_ramba.shared.places import shown

    argv = ["--data", str(options.data)] if options.data else []
    argv += ["--source", config.source] if options.data or options.source else []
    usual = {f.name: f.default for f in dataclasses.fields(config)}
    fields = {"label_space": "labels", "profile": "profile", "folds": "folds", "base_seed": "base-seed"}
    for field, option in fields.items():
        if getattr(config, field) != usual[field]:
            argv += [f"--{option}", str(getattr(config, field))]
    unasked = {v.model for v in choose_variants([])}
    made_of = {v.model: v.name for v in reversed(all_variants().values())}  # the first of each model
    if more := [made_of[m] for m in models if m not in unasked and m in made_of]:
        argv += ["--only", "default", *more]
    argv += [] if options.out == Path("runs") else ["--out", shown(options.out)]
    return [*argv, "--config", name]
