"""The inputs of a run as images, where its data can be opened again and are images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from errbound.data import Dataset, DataSpec
from errbound.errors import InputError
from errbound.report.run import Run

Image = npt.NDArray[np.uint8]
Images = Callable[[int], Image | None]
"""The image of the sample with an index in the data set: (H, W) or (H, W, 3), or None."""


def no_images(index: int) -> None:
    """The images of data that are none."""


def data_of(run: Run) -> Dataset:
    """The data set of a run, opened again.

    Raises:
        InputError: it was in memory, cannot be opened, or has changed.
    """
    facts = run.summary["data"]
    if facts["spec"] is None:
        raise InputError(f"{facts['name']} were in memory when the run was made")
    data = DataSpec(**facts["spec"]).open()
    if data.sha256 != facts["sha256"]:
        raise InputError(f"{data.source}: is not what the run was made from (another digest)")
    return data


def images_of(run: Run) -> tuple[Images, str]:
    """The raw inputs, before mean and std, as images; and why there are none, or "".

    Data count as images if their samples are (1, H, W) or (3, H, W), uint8 or floats in [0, 1]; a
    sample with a float outside has no image.
    """
    try:
        data = data_of(run)
    except InputError as error:
        return no_images, f"the data could not be reopened: {error}"
    if data.inputs.ndim != 4 or data.inputs.shape[1] not in (1, 3):
        return no_images, ""
    return lambda index: _image(data, index), ""


def _image(data: Dataset, index: int) -> Image | None:
    sample = data.inputs[index]
    if sample.dtype != np.uint8:
        if not bool(((sample >= 0) & (sample <= 1)).all()):
            return None
        sample = np.rint(sample * 255).astype(np.uint8)
    image: Image = sample[0] if len(sample) == 1 else sample.transpose(1, 2, 0)
    return image
