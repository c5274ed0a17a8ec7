"""A run keeps the ids of each of its domains, and needs nothing else to read their labels."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from ml_collections.config_dict import ConfigDict
from PIL import Image

from msl_jax.analysis.adaptation import watched_adaptation
from msl_jax.analysis.unlabelled import compared
from msl_jax.commands.evaluate import evaluate
from msl_jax.commands.train import train
from msl_jax.convert.command import convert
from msl_jax.report.command import write_report
from msl_jax.report.networks import open_networks
from msl_jax.runtime.errors import UserError

NAMES = ("car", "sky", "road")
IDS = {"source": (10, 20, 30), "target": (3, 1, 2)}  # each domain's own
VOID = 7


def _write_list(root: Path, ids: tuple[int, ...], names: tuple[str, ...] = NAMES) -> None:
    entries = [
        f"  - {{id: {i}, name: {name}, color: [{50 * place}, 9, 9]}}\n"
        for place, (i, name) in enumerate(zip(ids, names, strict=True))
    ]
    (root / "classes.yaml").write_text(f"classes:\n{''.join(entries)}ignored: [{VOID}]\n")


def _write_domain(root: Path, ids: tuple[int, ...], *, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True)
    for i in range(6):
        classes = rng.choice(4, (6, 8), p=(0.6, 0.2, 0.1, 0.1)).repeat(8, 0).repeat(8, 1)
        noise = rng.integers(0, 60, (48, 64, 3), np.uint8) + 40 * classes[..., None]
        Image.fromarray(noise.astype(np.uint8)).save(root / "images" / f"{i}.png")
        labels = np.array([*ids, VOID], np.uint8)[classes]
        Image.fromarray(labels).save(root / "labels" / f"{i}.png")
    _write_list(root, ids)
    return root


Trained = tuple[ConfigDict, str, dict]


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One labelled folder for each domain, which tests may change."""
    folder = tmp_path_factory.mktemp("roots")
    domains = enumerate(IDS.items())
    return {d: _write_domain(folder / d, ids, seed=seed) for seed, (d, ids) in domains}


@pytest.fixture(scope="module")
def trained(
    folders_config, roots: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    config = folders_config(roots["source"], roots["target"])
    workdir = str(tmp_path_factory.mktemp("trained") / "run")
    return config, workdir, train(config, workdir)


@pytest.fixture
def run(trained: Trained, roots: dict[str, Path], tmp_path: Path) -> Iterator[Trained]:
    """A copy of the run; the data are put back afterwards."""
    config, workdir, results = trained
    folder, backup = roots["source"].parent, tmp_path / "backup"
    shutil.copytree(folder, backup)
    shutil.copytree(workdir, tmp_path / "run")
    yield config.copy_and_resolve_references(), str(tmp_path / "run"), results
    shutil.rmtree(folder)
    shutil.move(backup, folder)


def _evaluate(config: ConfigDict, workdir: str) -> None:
    evaluate(config, workdir)


def _report(config: ConfigDict, workdir: str) -> None:
    open_networks(Path(workdir))


def _resume(config: ConfigDict, workdir: str) -> None:
    (Path(workdir) / "results.json").unlink()
    train(config, workdir)


def _start_from(config: ConfigDict, workdir: str) -> None:
    config.init_from = workdir
    train(config, f"{workdir}-new")


USES = pytest.mark.parametrize("use", [_evaluate, _report, _resume, _start_from])
Use = Callable[[ConfigDict, str], None]


@pytest.mark.parametrize("use", [_evaluate, _report, _resume])
def test_exchanged_ids_are_refused(run: Trained, roots: dict[str, Path], use: Use) -> None:
    config, workdir, _ = run
    _write_list(roots["target"], (1, 3, 2))
    with pytest.raises(UserError) as caught:
        use(config, workdir)
    message = str(caught.value)
    assert f"{roots['target'] / 'classes.yaml'} has changed since {workdir} was trained" in message
    assert "\n  car: id 3 -> 1\n  sky: id 1 -> 3\n" in message


def test_a_training_may_start_from_labels_in_other_ids(
    run: Trained, roots: dict[str, Path]
) -> None:
    """Ids do not concern a network, which starts from names in their order."""
    config, workdir, _ = run
    _write_list(roots["target"], (1, 3, 2))
    _start_from(config, workdir)


def test_a_colour_alone_is_said(
    run: Trained, roots: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    config, workdir, trained = run
    text = (roots["target"] / "classes.yaml").read_text()
    (roots["target"] / "classes.yaml").write_text(text.replace("[50, 9, 9]", "[51, 9, 9]"))
    assert evaluate(config, workdir)["final"] == trained["final"]
    assert "sky: colour (50, 9, 9) -> (51, 9, 9)" in capsys.readouterr().err


@USES
def test_another_number_of_classes_shows_both_lists(
    run: Trained, roots: dict[str, Path], use: Use
) -> None:
    config, workdir, _ = run
    for domain, ids in IDS.items():
        _write_list(roots[domain], (*ids, 9), (*NAMES, "pole"))
    with pytest.raises(UserError, match="have different classes:") as caught:
        use(config, workdir)
    for names in (NAMES, (*NAMES, "pole")):
        assert f": {', '.join(names)}\n" in str(caught.value)


def test_a_run_needs_nothing_but_itself(run: Trained, roots: dict[str, Path]) -> None:
    """Neither the source nor any list: ignored ids are kept too."""
    config, workdir, trained = run
    shutil.rmtree(roots["source"])
    (roots["target"] / "classes.yaml").unlink()
    results = evaluate(config, workdir, domain="target")
    assert results["final"]["target"] == trained["final"]["target"]


def test_another_domain_may_have_other_ids(
    run: Trained, roots: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run has not seen it: that is said, of what is converted from it too."""
    config, workdir, trained = run
    other = _write_domain(tmp_path / "other", (40, 50, 60), seed=1)
    convert(workdir, f"{workdir}-converted")
    for place in (workdir, f"{workdir}-converted"):
        keys = {"target_root": str(other), **{k: config[k] for k in ("eval_size", "flip")}}
        capsys.readouterr()
        results = evaluate(config, place, str(tmp_path / "eval"), keys, "target")
        assert results["final"]["target"] == trained["final"]["target"]
        said = capsys.readouterr().err
        assert f"target_eval: its labels are read by {other / 'classes.yaml'}, not as those" in said
        assert f"that {place} was trained with: car: id 3 -> 40; sky: id 1 -> 50;" in said


def test_a_list_that_moved_with_its_data_is_known(
    run: Trained, roots: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, workdir, trained = run
    shutil.move(roots["source"], tmp_path / "moved")
    capsys.readouterr()
    results = evaluate(config, workdir, overrides={"source_root": str(tmp_path / "moved")})
    assert results["final"]["source"] == trained["final"]["source"]
    assert "classes.yaml" not in capsys.readouterr().err


@pytest.mark.parametrize("converted", [False, True])
def test_data_that_moved_without_a_list_are_read_as_before(
    run: Trained, roots: dict[str, Path], tmp_path: Path, converted: bool
) -> None:
    """Each domain as its own list said, not as that of the other."""
    config, workdir, trained = run
    keys = {}
    for domain in IDS:
        shutil.move(roots[domain], tmp_path / domain)
        keys[f"{domain}_root"] = str(tmp_path / domain)
    (tmp_path / "target" / "classes.yaml").unlink()
    place = workdir
    if converted:
        place = f"{workdir}-converted"
        convert(workdir, place)
        keys |= {key: config[key] for key in ("eval_size", "flip")}
    results = evaluate(config, place, str(tmp_path / "eval"), keys)
    assert results["final"]["target"] == trained["final"]["target"]
    assert results["final"]["source"] == trained["final"]["source"]


def test_the_list_of_the_other_domain_is_said(
    run: Trained, roots: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, workdir, _ = run
    shutil.move(roots["target"], tmp_path / "target")
    _write_list(tmp_path / "target", (2, 1, 3))
    capsys.readouterr()
    evaluate(config, workdir, overrides={"target_root": str(tmp_path / "target")})
    said = capsys.readouterr().err
    assert f"not as those of the target that {workdir} was trained with: car: id 3 -> 2" in said


def _move(roots: dict[str, Path], config: ConfigDict, place: Path) -> ConfigDict:
    """Moves the data; gives the command that says so."""
    config = config.copy_and_resolve_references()
    for domain, root in roots.items():
        shutil.move(root, place / domain)
        config[f"{domain}_root"] = str(place / domain)
    return config


@pytest.mark.parametrize("finished", [False, True])
def test_a_run_goes_on_where_its_data_have_moved(
    run: Trained, roots: dict[str, Path], tmp_path: Path, finished: bool
) -> None:
    """And then needs nothing but itself again."""
    config, workdir, trained = run
    now = _move(roots, config, tmp_path)
    if not finished:
        (Path(workdir) / "results.json").unlink()
        shutil.rmtree(Path(workdir) / "source")
    assert train(now, workdir) == trained
    assert open_networks(Path(workdir)).split.labelled
    assert train(now, workdir) == trained
    with pytest.raises(UserError, match=f"{roots['source']} is not a folder"):
        train(config, workdir)  # nothing lies there any more


def test_other_data_in_another_place_are_refused(
    run: Trained, roots: dict[str, Path], tmp_path: Path
) -> None:
    config, workdir, _ = run
    now = _move(roots, config, tmp_path)
    label = tmp_path / "target" / "labels" / "0.png"
    Image.fromarray(np.full_like(np.asarray(Image.open(label)), IDS["target"][0])).save(label)
    kept = {p: p.read_bytes() for p in Path(workdir).glob("*.json")}
    with pytest.raises(UserError) as caught:
        train(now, workdir)
    message = str(caught.value)
    assert "\n  target_eval (folders/target_eval): other labels\n" in message
    assert f"\n  target_root: {roots['target']} -> {tmp_path / 'target'}\n" in message
    assert {p: p.read_bytes() for p in Path(workdir).glob("*.json")} == kept


def test_the_report_says_how_data_that_have_moved_are_found(
    run: Trained, roots: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, workdir, _ = run
    _move(roots, config, tmp_path)
    write_report(workdir)
    said = capsys.readouterr().err
    assert "This page has no gallery." in said
    assert "give the command that trained this run again, with --config.source_root=FOLDER" in said


def test_new_heads_are_the_way_out_of_other_classes(
    run: Trained, roots: dict[str, Path], tmp_path: Path
) -> None:
    config, workdir, _ = run
    for domain, ids in IDS.items():
        _write_list(roots[domain], ids, ("car", "sky", "lane"))
    config.init_from = workdir
    with pytest.raises(UserError, match=r"have different classes:(.|\n)*reinit_heads=true"):
        train(config, str(tmp_path / "new"))
    config.reinit_heads = True
    trained = train(config, str(tmp_path / "new"))
    assert list(trained["final"]["source"]["iou"]) == ["car", "sky", "lane"]
    with pytest.raises(UserError, match=r"have different classes(.|\n)*of the same classes"):
        compared([workdir, str(tmp_path / "new")])


def test_what_is_watched_has_the_classes_of_its_network(
    run: Trained, roots: dict[str, Path]
) -> None:
    config, workdir, _ = run
    for domain, ids in IDS.items():
        _write_list(roots[domain], ids, ("car", "sky", "lane"))
    config.init_from = workdir
    with pytest.raises(UserError, match="have different classes"):
        watched_adaptation(config, every=1)
