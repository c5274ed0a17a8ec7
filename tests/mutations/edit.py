"""What a wrong edit is, and the tests that are asked to notice it."""

from __future__ import annotations

from typing import NamedTuple

END_TO_END = "tests/end_to_end"
RUN = f"{END_TO_END}/test_written_out_run.py"
SOURCE_STAGE = f"{RUN}::test_source_stage"
CLASSIFICATION = f"{END_TO_END}/test_written_out_classification.py"
EVALUATION = f"{END_TO_END}/test_evaluate_predict.py::test_keys_of_the_evaluation"
PHOTOS = f"{END_TO_END}/test_evaluate_predict.py::test_photos_have_the_size_of_the_target"
TABLE = f"{END_TO_END}/test_variants.py::test_table"
OFFICIAL = f"{END_TO_END}/test_variants.py::test_first_step_of_the_official_preset"
OPTIMIZER = "tests/training/test_configured_optimizer.py"
PRESETS = "tests/test_presets.py"
ORDER = "tests/data/test_order.py"


def first_step(variant: str) -> str:
    """The test of what a variant optimises."""
    return f"{END_TO_END}/test_variants.py::test_first_step[{variant}]"


class Edit(NamedTuple):
    """One edit, and where it must be noticed.

    Attributes:
        title: what is wrong after it.
        file: path from the root.
        old: text that stands once in the file.
        new: what takes its place.
        tests: pytest's names of the tests, at least one of which must fail.
    """

    title: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
