"""What `msl-jax list keys` says of every key, and docs/keys.md, which it makes."""

from __future__ import annotations

from pathlib import Path

from msl_jax.cli import key_listing
from msl_jax.config import VARIANTS, base_config
from msl_jax.config.keys import flat
from msl_jax.methods.variants import VARIANTS_OF

DOCUMENT = Path(__file__).parent.parent / "docs" / "keys.md"


def test_document_is_up_to_date():
    assert DOCUMENT.read_text() == key_listing.markdown(), (
        "msl-jax list keys --markdown > docs/keys.md"
    )


def test_every_key_of_every_variant_is_listed_and_explained():
    rows = {row.name: row for rows in key_listing.sections().values() for row in rows}
    for task, variants in VARIANTS_OF.items():
        for variant in variants:
            missing = flat(base_config("x", variant, task)).keys() - rows.keys()
            assert not missing, variant
    assert VARIANTS
    assert all(row.meaning and row.default and row.expected for row in rows.values())


def test_defaults_are_told_as_a_command_line_has_them():
    rows = {row.name: row.default for rows in key_listing.sections().values() for row in rows}
    assert rows["source_steps"] == "80000 (official) or 70000 (paper)"
    assert rows["steps"] == "29750"
    assert rows["flip"] == "false"
    assert rows["init_from"] == "empty"
    assert rows["source_size"] == "(720, 1280)"
    assert rows["model.stride_placement"] == "caffe or as the weights need"
    assert rows["method.gan"] == "vanilla"


def test_text_fits_80_columns():
    assert max(map(len, key_listing.text().splitlines())) <= 80
