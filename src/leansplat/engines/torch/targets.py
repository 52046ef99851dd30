"""`Targets`: photos and masks on the device where images are compared with them, moved there once."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from leansplat.captures.capture import View


class Targets:
    """What views are compared with, on a device.

    A copy lives as long as the tensor that it was made of: the photos of a capture move once, however many models are
    trained on them, and leave the device with the capture.

    Args:
        device: where the copies are.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._copies: WeakIdKeyDictionary = WeakIdKeyDictionary()

    def photo(self, view: View) -> Tensor:
        """(H, W, 3), of the type that the view has it in."""
        return self._moved(view.photo)

    def mask(self, view: View) -> Tensor | None:
        """(H, W) bool, or None where all pixels count."""
        return None if view.mask is None else self._moved(view.mask)

    def _moved(self, tensor: Tensor) -> Tensor:
        if tensor.device.type == self._device.type:
            return tensor
        if tensor not in self._copies:
            self._copies[tensor] = tensor.to(self._device)
        copy: Tensor = self._copies[tensor]
        return copy
