"""The published ECG-RAMBA checkpoints (fold1_best.pt … fold5_best.pt) as fold models of this suite.

Their weights are loaded strictly, name by name, into the configuration ``released``; beside them stand the release's
random kernels and 36 slots, and the basis of principal components that came with the weights. What they do not say is
which recordings each fold was trained on, so nothing of Chapman counts as held out from them.
"""

import dataclasses
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ecg_ramba.data.labels import PAPER27, label_space
from ecg_ramba.errors import CheckpointError, first_line
from ecg_ramba.features.release import SLOTS, RandomKernels
from ecg_ramba.features.standardise import RhythmTransform
from ecg_ramba.features.transform import FeatureConfig, MorphologyTransform
from ecg_ramba.files import sha256_file, write_text
from ecg_ramba.harness.checkpoint import FoldModel, is_published, read_tensors
from ecg_ramba.harness.config import InputConfig
from ecg_ramba.harness.trained import SUMS
from ecg_ramba.models import InputShape, model_spec
from ecg_ramba.nn.config import EcgRambaConfig, profile
from ecg_ramba.nn.flops import window_flops
from ecg_ramba.signal import SEGMENT, SignalConfig

BASIS_FILE = "global_pca_zeroshot.pkl"
"""The release's name for its basis of principal components."""

CONVERT = (
    "python -c \"import joblib, numpy; p = joblib.load('" + BASIS_FILE + "'); "
    "numpy.savez('basis.npz', mean=p.mean_, components=p.components_)\""
)
"""The file is a pickle, which runs code when it is opened: whoever trusts it turns it into plain arrays with this."""

CONFIG = dataclasses.replace(profile("full"), released=True)
"""72.83 M parameters for 3072 components, 36 slots and 27 classes."""


def read_published(path: Path) -> dict:
    """The weights of a published checkpoint by name, without running any code of it.

    Raises
    ------
    CheckpointError
        If it is missing, damaged, of something else, or not finite.
    """
    import torch

    content = read_tensors(path, "name the release's fold1_best.pt … fold5_best.pt")
    if not is_published(content):
        raise CheckpointError(f"{path} is not a published ECG-RAMBA checkpoint: it lacks their names of weights")
    state = dict(content.get("model", content))
    broken = [k for k, v in state.items() if not (isinstance(v, torch.Tensor) and torch.isfinite(v).all())]
    if broken:
        raise CheckpointError(f"{path}: {broken[0]} is not a tensor of finite numbers")
    return state


def read_basis(path: Path | None, components: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean (20000,) and loadings (20000, components) of the principal components that came with the weights.

    Raises
    ------
    CheckpointError
        If none is named, or what is named is no such file.
    """
    what = f"the release's basis of {components} principal components ({BASIS_FILE})"
    if path is None:
        raise CheckpointError(f"{what} is needed; turn it into arrays with {CONVERT} and name it: --basis basis.npz")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            mean, loadings = arrays["mean"], arrays["components"]
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist; it should hold {what}") from None
    except PermissionError:
        raise CheckpointError(f"{path} may not be read by this user") from None
    except KeyError as error:
        raise CheckpointError(f"{path}: {first_line(error)}; it should hold {what}, made by {CONVERT}") from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, TypeError, AttributeError):
        # numpy's own text advises to load the pickle
        raise CheckpointError(f"{path} is no .npz of plain arrays; turn the release's into one: {CONVERT}") from None
    wanted = (components, RandomKernels.features)
    if mean.shape != wanted[1:] or loadings.shape != wanted or not (_finite(mean) and _finite(loadings)):
        raise CheckpointError(
            f"{path}: mean {mean.shape} and components {loadings.shape}; finite numbers of shapes {wanted[1:]} and "
            f"{wanted} are needed"
        )
    return mean.astype(np.float64), np.ascontiguousarray(loadings.T, dtype=np.float32)


def _finite(array: np.ndarray) -> bool:
    return array.dtype.kind == "f" and bool(np.isfinite(array).all())


def released_model(
    path: Path,
    basis: tuple[np.ndarray, np.ndarray],
    fold: int,
    folds: int,
    *,
    labels: str = "merged24",
    as_released: bool = False,
    config: EcgRambaConfig | None = None,
) -> FoldModel:
    """One published checkpoint as a fold model.

    Parameters
    ----------
    path : Path
        The checkpoint.
    basis : (20000,) and (20000, components) arrays
        As :func:`read_basis` gives them.
    fold, folds : int
        Its number, and how many there are.
    labels : str
        Label space in which it is scored; of its 27 outputs those that count as one are merged by the largest.
    as_released : bool
        Read recordings as the release did abroad: whole 10 s at once, no band-pass, absent leads as zeros. (It did not
        resample either; that is not done here.) Otherwise the protocol's own path.
    config : EcgRambaConfig, optional
        Sizes; those of :data:`CONFIG` by default.

    Raises
    ------
    CheckpointError
        If the file cannot be read, or its names or shapes differ from the configuration's.
    """
    config = config or CONFIG
    state = read_published(path)
    mean, loadings = basis
    samples = {"samples": SEGMENT} if as_released else {}
    shape = InputShape(components=(loadings.shape[1],), rhythm=SLOTS, classes=len(PAPER27), **samples)
    spec = model_spec("ecg_ramba")
    network = spec.build(config, shape)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        problems = " ".join(line.strip() for line in str(error).splitlines()[1:4])
        raise CheckpointError(f"{path} does not have the names and shapes of the release: {problems}") from None
    signal = SignalConfig(filter="none", missing="zero") if as_released else SignalConfig()
    rocket, whole = RandomKernels(), (slice(0, RandomKernels.features),)
    return FoldModel(
        spec=spec,
        config=config,
        shape=shape,
        fitted=network.eval(),
        classes=PAPER27,
        trained=np.ones(len(PAPER27), dtype=bool),
        signal=signal,
        features=FeatureConfig(kernels="random", grouping="single"),
        inputs=InputConfig(rhythm="raw_slots", **samples),
        morphology=MorphologyTransform(rocket, whole, shape.components, mean, loadings, loadings.shape[1], 0),
        rhythm=RhythmTransform.unscaled(SLOTS),
        facts={
            "variant": "published",
            "source": "chapman",
            "synthetic": False,
            "label_space": label_space(labels).name,
            "fold": fold,
            "folds": folds,
            "seed": 0,
            "published": sha256_file(path),
            "training_signals": [],
            "training_subjects": [],
            "positive_subjects": {},
            "profile": "full",
            "precision": "fp32",
            "cost": {
                "parameters": sum(p.numel() for p in network.parameters()),
                "flops": window_flops(spec, config, shape),
                "seconds": None,
                "peak_rss_mb": None,
            },
        },
    )


def import_published(paths: Sequence[Path], bases: Sequence[Path | None], out: Path, **options) -> list[Path]:
    """Write published checkpoints as fold models with their checksums; paths of what was written.

    Parameters
    ----------
    paths : sequence of Path
        The published files, fold by fold.
    bases : sequence of Path
        One basis for all of them, or one for each.
    out : Path
        Folder for ``fold1_best.pt`` …
    **options
        Passed to :func:`released_model`.

    Raises
    ------
    CheckpointError
        If there are neither one basis nor as many as checkpoints, a file is wrong, or one would overwrite its source.
    """
    if len(bases) not in (1, len(paths)):
        raise CheckpointError(f"{len(bases)} bases for {len(paths)} checkpoints: one for all of them, or one for each")
    made, basis = [], None
    components = (options.get("config") or CONFIG).nominal_components
    targets = [out / f"fold{i}_best.pt" for i in range(1, len(paths) + 1)]
    own = {p.resolve() for p in paths} & {t.resolve() for t in targets}
    if own:
        raise CheckpointError(f"{own.pop()} would be overwritten; name another folder by --models")
    for i, (path, target) in enumerate(zip(paths, targets, strict=True)):
        if basis is None or len(bases) > 1:
            basis = read_basis(bases[i if len(bases) > 1 else 0], components)
        released_model(path, basis, i + 1, len(paths), **options).save(target)
        made.append(target)
    write_text(out / SUMS, "".join(f"{sha256_file(p)}  {p.name}\n" for p in made))
    return made
