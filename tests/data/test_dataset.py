"""Data sets: what they hold, what they cost, and what each of them refuses."""

import dataclasses
import hashlib
import tracemalloc
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from errbound.data import Dataset, Preprocess

from .making import (
    DIGITS,
    GREY,
    refused,
)


class TestDataset:
    @pytest.mark.parametrize("shape", [(256,), (64, 4), (16, 1, 4, 4), (4, 4, 4, 4)])
    def test_bytes_are_divided_by_255_in_binary32(self, shape: tuple[int, ...]) -> None:
        dataset = Dataset.from_arrays(np.arange(256, dtype=np.uint8).reshape(shape))
        batch = dataset.batch(0, len(dataset))
        correct = np.arange(256, dtype=np.float32).reshape(shape) / np.float32(255)
        reference = torch.arange(256, dtype=torch.uint8).reshape(shape).float() / 255
        assert batch.dtype == torch.float32
        assert batch.shape == shape
        assert np.array_equal(batch.numpy(), correct)
        assert torch.equal(batch, reference)

    @pytest.mark.parametrize("order", ["C", "F"])
    def test_floats_come_back_bit_by_bit_contiguous_and_copied(self, order: Any) -> None:
        special = np.array([[np.nan, -0.0, 1e-45], [np.inf, -np.inf, 3.4028235e38]], np.float32)
        dataset = Dataset.from_arrays(np.asarray(special, order=order))
        batch = dataset.batch(0, 2)
        assert batch.is_contiguous()
        assert batch.numpy().tobytes() == special.tobytes()
        batch.zero_()
        assert np.isnan(dataset.inputs[0, 0])

    def test_batches_are_the_samples_in_order_whatever_their_size(self) -> None:
        dataset = Dataset.from_arrays(GREY)
        whole = dataset.batch(0, 3)
        assert torch.equal(torch.cat([dataset.batch(0, 1), dataset.batch(1, 3)]), whole)

    @pytest.mark.parametrize(("start", "stop"), [(-1, 1), (0, 0), (2, 1), (0, 4), (3, 4)])
    def test_a_batch_outside_is_refused(self, start: int, stop: int) -> None:
        dataset = Dataset.from_arrays(GREY)
        refused(lambda: dataset.batch(start, stop), "arrays", "samples 0 to 2")

    @pytest.mark.parametrize(
        ("offset", "limit", "expected"),
        [
            (0, None, range(0, 3)),
            (0, 1, range(0, 1)),
            (0, 3, range(0, 3)),
            (2, None, range(2, 3)),
            (2, 1, range(2, 3)),
            (1, 10**9, range(1, 3)),
        ],
    )
    def test_window(self, offset: int, limit: int | None, expected: range) -> None:
        assert Dataset.from_arrays(GREY).window(offset, limit) == expected

    @pytest.mark.parametrize("offset", [-1, 3, 4])
    def test_a_window_that_starts_outside_is_refused(self, offset: int) -> None:
        dataset = Dataset.from_arrays(GREY)
        refused(lambda: dataset.window(offset), f"offset {offset}", "from 0 to 2")

    @pytest.mark.parametrize("limit", [0, -1])
    def test_an_empty_window_is_refused(self, limit: int) -> None:
        dataset = Dataset.from_arrays(GREY)
        refused(lambda: dataset.window(0, limit), f"limit of {limit}", "1 or more")

    def test_the_digest_is_the_documented_one(self) -> None:
        content = b"|u1 (3, 2, 4)\n" + GREY.tobytes()
        content += b"<i8 (3,)\n" + DIGITS.astype("<i8").tobytes()
        assert Dataset.from_arrays(GREY, DIGITS).sha256 == hashlib.sha256(content).hexdigest()

    def test_the_digest_does_not_depend_on_strides_or_byte_order(self) -> None:
        many = np.arange(300 * 6, dtype=np.float32).reshape(300, 2, 3)
        digest = Dataset.from_arrays(many).sha256
        assert Dataset.from_arrays(np.asfortranarray(many)).sha256 == digest
        assert Dataset.from_arrays(many.astype(">f4")).sha256 == digest

    def test_the_digest_depends_on_every_value_the_shape_and_the_labels(self) -> None:
        other = GREY.copy()
        other[-1, -1, -1] += 1
        digests = [
            Dataset.from_arrays(*arrays).sha256
            for arrays in (
                (GREY,),
                (GREY.reshape(3, 8),),
                (other,),
                (GREY, DIGITS),
                (GREY, DIGITS[::-1]),
                (GREY.astype(np.float32),),
            )
        ]
        assert len(set(digests)) == len(digests)

    def test_it_is_frozen_and_read_only_and_short_to_print(self) -> None:
        dataset = Dataset.from_arrays(GREY.copy(), DIGITS.copy())
        with pytest.raises(dataclasses.FrozenInstanceError):
            dataset.name = "other"  # type: ignore[misc]
        assert dataset.labels is not None
        for array in (dataset.inputs, dataset.labels):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0
        assert "array(" not in repr(dataset)

    @pytest.mark.parametrize("dtype", [np.uint8, np.float32])
    def test_wrapping_and_batching_cost_nothing_but_the_batch(self, dtype: Any) -> None:
        array = np.zeros((10_000, 784), dtype)
        tracemalloc.start()
        dataset = Dataset.from_arrays(array)
        for start in range(0, 10_000, 500):
            dataset.batch(start, start + 100)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 3 * 100 * 784 * 4

    @pytest.mark.parametrize("array", [np.float32(1), np.zeros((0, 3)), np.zeros((3, 0))])
    def test_no_samples_are_refused(self, array: Any) -> None:
        refused(lambda: Dataset.from_arrays(np.asarray(array)), "memory", "no samples")

    @pytest.mark.parametrize("dtype", ["int8", "uint16", "int64", "bool", "complex64", "U3"])
    def test_other_inputs_are_refused(self, dtype: str) -> None:
        array = np.ones((2, 2)).astype(dtype)
        refused(lambda: Dataset.from_arrays(array), "memory", array.dtype.name, "float32")

    def test_half_precision_is_widened_without_a_note(self) -> None:
        dataset = Dataset.from_arrays(np.array([[0.1, 65504]], np.float16))
        assert dataset.inputs.dtype == np.float32
        assert dataset.inputs.tolist() == [[0.0999755859375, 65504.0]]
        assert dataset.note == ""

    def test_double_precision_is_rounded_to_nearest_even_with_a_note(self) -> None:
        ties = np.array([[1 + 2**-24, 1 + 3 * 2**-24, 0.1]])
        dataset = Dataset.from_arrays(ties)
        assert dataset.inputs.tolist() == [[1.0, 1 + 2**-22, float(np.float32(0.1))]]
        assert dataset.note == "inputs were rounded from float64 to float32"

    def test_values_that_overflow_are_counted(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            dataset = Dataset.from_arrays(np.array([[1e300, np.inf, np.nan, -1e39]]))
        assert np.isinf(dataset.inputs).tolist() == [[True, True, False, True]]
        assert dataset.note.endswith("2 finite values became infinite")

    @pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64, np.uint64, ">i4"])
    def test_labels_become_int64(self, dtype: Any) -> None:
        labels = Dataset.from_arrays(GREY, DIGITS.astype(dtype)).labels
        assert labels is not None
        assert labels.dtype == np.int64
        assert labels.tolist() == [7, 2, 1]

    @pytest.mark.parametrize(
        ("labels", "part"),
        [
            (np.zeros(3, np.float32), "dtype float32"),
            (np.zeros(3, bool), "dtype bool"),
            (np.zeros((3, 10), int), "shape (3, 10)"),
            (np.zeros(2, int), "3 samples"),
            (np.array([0, -1, 2]), "label -1 of sample 1"),
            (np.array([0, 1, 2**63], np.uint64), f"label {2**63} of sample 2"),
        ],
    )
    def test_other_labels_are_refused(self, labels: np.ndarray, part: str) -> None:
        refused(lambda: Dataset.from_arrays(GREY, labels), "memory", part)


class TestPreprocess:
    @pytest.mark.parametrize(
        ("mean", "std"),
        [
            ((0.1307,), (0.3081,)),
            ((0.485, 0.456, 0.406), (0.225,)),
            ((0.5,), (0.229, 0.224, 0.225)),
        ],
    )
    def test_each_operation_rounds_once_in_binary32(
        self, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        x = torch.rand(5, 3, 7, 9, generator=torch.Generator().manual_seed(0))
        m, s = (np.array(v, np.float32).reshape(-1, 1, 1) for v in (mean, std))
        result = Preprocess(mean, std)(x)
        assert result.dtype == torch.float32
        assert np.array_equal(result.numpy(), (x.numpy() - m) / s)

    @pytest.mark.parametrize("shape", [(4,), (4, 3), (4, 3, 2, 2)])
    def test_the_default_is_the_identity(self, shape: tuple[int, ...]) -> None:
        x = torch.randn(shape)
        x.view(-1)[0] = -0.0
        assert Preprocess()(x).numpy().tobytes() == x.numpy().tobytes()

    def test_values_per_feature_of_a_flat_sample(self) -> None:
        x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        assert Preprocess((1.0, 2.0), (1.0, 2.0))(x).tolist() == [[0, 0], [2, 1]]

    @pytest.mark.parametrize(
        ("mean", "std", "part"),
        [
            ((), (1.0,), "mean (empty)"),
            ((0.0,), (), "std (empty)"),
            ((float("nan"),), (1.0,), "mean nan"),
            ((0.0, float("inf")), (1.0,), "mean 0.0,inf"),
            ((1e39,), (1.0,), "mean 1e+39"),
            ((0.0,), (float("inf"),), "std inf"),
            ((0.0,), (0.0,), "std 0.0"),
            ((0.0,), (1.0, -1.0), "std 1.0,-1.0"),
            ((0.0,), (1e-60,), "above 0 in binary32"),
        ],
    )
    def test_unusable_values_are_refused(
        self, mean: tuple[float, ...], std: tuple[float, ...], part: str
    ) -> None:
        refused(lambda: Preprocess(mean, std), part)

    @pytest.mark.parametrize("count", [2, 4])
    def test_another_number_of_channels_is_refused(self, count: int) -> None:
        x = torch.zeros(2, 3, 4, 4)
        refused(
            lambda: Preprocess((0.0,) * count)(x), f"mean 0.0,0.0{',0.0' * (count - 2)}", "or 3"
        )
        refused(lambda: Preprocess(std=(1.0,) * count)(x), f"{count} values", "(3, 4, 4)")
        refused(lambda: Preprocess(std=(1.0,) * count)(torch.zeros(2)), "give 1 or 1")
