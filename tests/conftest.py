"""Lets tests share code: pytest puts the folder of this file on the path, so `from support.tiny import ...` works
everywhere. What tests share is in `support` and nowhere else, but for the fixtures of a folder, which are in its own
`conftest.py`. PyTorch gets one thread: the references are small, and the kernels have threads of their own.
"""

import torch

torch.set_num_threads(1)
