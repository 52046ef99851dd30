"""Lets tests share code between folders: pytest puts the folder of this file on the path, so `from render.scenes import
...` works everywhere. PyTorch gets one thread: the references are small, and the kernels have threads of their own.
"""

import torch

torch.set_num_threads(1)
