"""Wrong edits of the reader of PyTorch's files."""

from __future__ import annotations

from edit import Edit

READER = "msl_jax/weights/pickle_reader.py"
KEYS = "msl_jax/weights/pickle_vocabulary.py"
VALUES = "msl_jax/weights/pickled_values.py"
TENSORS = "msl_jax/weights/pickled_tensors.py"
ARCHIVE = "msl_jax/weights/torch_archive.py"
FILES, WRAPPED = "msl_jax/weights/torch_files.py", "msl_jax/weights/wrapped.py"

MALICIOUS = "tests/convert/test_malicious_files.py"
CLAIMS = "tests/convert/test_hostile_claims.py"
BOMBS = f"{CLAIMS}::test_bomb"
LIKE_TORCH = "tests/convert/test_like_torch_load.py"
OTHERS = "tests/convert/test_other_contents.py"
PLAIN = (f"{OTHERS}::test_plain_data",)
CHOICES = ("tests/convert/test_wrapped.py",)

EDITS = [
    # What may be named and called.
    Edit(
        "a name that is not known stands for nothing",
        READER,
        'raise Refused(f"It names {printable(name)}, which is not a safe type")',
        "return self.push(None)",
        (MALICIOUS,),
    ),
    Edit(
        "a name is known by its last part",
        READER,
        "if name not in self.vocabulary.names:",
        'if not any(known.endswith(f".{attribute}") for known in self.vocabulary.names):',
        (MALICIOUS,),
    ),
    Edit(
        "anything that can be called is called",
        READER,
        "if type(function) is not Function:",
        "if function is None:",
        (MALICIOUS,),
    ),
    Edit(
        "INST puts a name on the stack",
        READER,
        'raise Malformed("the instruction INST")',
        "return",
        (MALICIOUS,),
    ),
    Edit(
        "what a pickle leaves on the stack is ignored",
        READER,
        "if self.stack or self.below:",
        "if self.below:",
        (MALICIOUS,),
    ),
    Edit(
        "any function rebuilds a tensor with attributes",
        TENSORS,
        "known = type(function) is Function and function in _REBUILT.values()",
        "known = type(function) is Function",
        (MALICIOUS,),
    ),
    Edit(
        "any type of NumPy is read",
        VALUES,
        r'r"[<|=]?(\?|[biufc]\d{1,2})"',
        'r".*"',
        (MALICIOUS,),
    ),
    # Bounds.
    Edit("keys may be anything", READER, "expect_key(key)", "pass", (BOMBS,)),
    Edit("elements may be anything", READER, "expect_key(item)", "pass", (BOMBS,)),
    Edit("keys may be long", KEYS, "_LONGEST_KEY = 4096", "_LONGEST_KEY = 4096000", (BOMBS,)),
    Edit(
        "integers may be long",
        READER,
        "_LONGEST_INTEGER = 1024",
        "_LONGEST_INTEGER = 2**30",
        (BOMBS,),
    ),
    Edit("text is copied for nothing", READER, "self.copied += len(argument)", "pass", (BOMBS,)),
    Edit(
        "lists are copied for nothing",
        READER,
        "self.copied += _BYTES_OF_AN_ITEM * len(argument)",
        "pass",
        (BOMBS,),
    ),
    Edit(
        "a length may go beyond the pickle",
        READER,
        "if not 0 <= count <= self.end - start:",
        "if not 0 <= count:",
        (BOMBS,),
    ),
    Edit("sizes may be negative", TENSORS, "not 0 <= value < 2**63", "value >= 2**63", (CLAIMS,)),
    Edit("sizes may be flags", TENSORS, "if type(value) is not int or", "if", (CLAIMS,)),
    Edit(
        "a tensor may reach one element too far",
        TENSORS,
        "last >= elements",
        "last > elements",
        (CLAIMS,),
    ),
    Edit(
        "a view may reach beyond its storage",
        TENSORS,
        "if start + size > nbytes:",
        "if size > nbytes:",
        (CLAIMS,),
    ),
    Edit(
        "tensors may unfold to any size",
        FILES,
        "sum(tensor.nbytes for tensor in tensors)",
        "0",
        (CLAIMS,),
    ),
    Edit(
        "storages may have any size together",
        FILES,
        "sum(storage.nbytes for storage in storages.values())",
        "0",
        (CLAIMS,),
    ),
    Edit(
        "an entry may be shorter than its storage",
        ARCHIVE,
        "storage.nbytes, exact=True",
        "storage.nbytes",
        (CLAIMS,),
    ),
    Edit(
        "a packed pickle may have any size",
        ARCHIVE,
        'read("data.pkl", MOST_BYTES)',
        'read("data.pkl", 2**40)',
        (CLAIMS,),
    ),
    Edit(
        "the first of two entries of one name is dropped",
        ARCHIVE,
        "if len(entries) != len(archive.infolist()):",
        "if not entries:",
        (CLAIMS,),
    ),
    Edit(
        "checksums are not compared",
        ARCHIVE,
        "if entry.CRC == 0:",
        "if True:",
        (f"{LIKE_TORCH}::test_bytes_that_were_changed_are_noticed",),
    ),
    Edit(
        "checksums are compared where there are none",
        ARCHIVE,
        "if entry.CRC == 0:",
        "if False:",
        (f"{LIKE_TORCH}::test_file_without_checksums",),
    ),
    # What is read.
    Edit(
        "views of storages begin at 0",
        TENSORS,
        "offset = self.storage.start + size * self.offset",
        "offset = size * self.offset",
        (f"{LIKE_TORCH}::test_views_of_storages",),
    ),
    Edit(
        "strides are those of rows",
        TENSORS,
        "np.ndarray(self.shape, self.dtype, data.data, offset, strides)",
        "np.ndarray(self.shape, self.dtype, data.data, offset)",
        (f"{LIKE_TORCH}::test_views",),
    ),
    Edit(
        "the order of bytes is ignored",
        TENSORS,
        "        if swap:\n            array = array.byteswap()\n",
        "",
        (f"{LIKE_TORCH}::test_byte_order",),
    ),
    Edit(
        "conjugated tensors are not",
        TENSORS,
        "array = np.conj(array)",
        "pass",
        (f"{LIKE_TORCH}::test_conjugated_and_negated",),
    ),
    Edit(
        "negated tensors are not",
        TENSORS,
        "np.negative(array) if self.negated else array",
        "array",
        (f"{LIKE_TORCH}::test_conjugated_and_negated",),
    ),
    Edit(
        "tensors do not share their storage",
        FILES,
        "value.array(data[_place(value)], swap",
        "value.array(data[_place(value)].copy(), swap",
        (f"{LIKE_TORCH}::test_views",),
    ),
    Edit("a tuple is turned round", READER, "tuple(reversed(items))", "tuple(items)", PLAIN),
    Edit("integers have no sign", READER, '"little", signed=True', '"little"', PLAIN),
    Edit(
        "arrays of NumPy are read by rows",
        VALUES,
        "columns_first is True, data",
        "False, data",
        (f"{OTHERS}::test_numbers_of_numpy",),
    ),
    # Which dictionary is meant.
    Edit(
        "the first of several networks is taken",
        WRAPPED,
        "    if len(candidates) > 1:\n        choices",
        "    if len(candidates) > 99:\n        choices",
        CHOICES,
    ),
    Edit(
        "networks that are known do not go first",
        WRAPPED,
        "if _is_known(arrays)",
        "if True",
        CHOICES,
    ),
    Edit("what else is there counts too", WRAPPED, "pure or found", "found", CHOICES),
    Edit(
        "names under which it lies are forgotten",
        "msl_jax/weights/find.py",
        "wrapped.as_written(keys)",
        "wrapped.as_written(())",
        ("tests/convert/test_torch_files.py::test_without_pytorch",),
    ),
]
