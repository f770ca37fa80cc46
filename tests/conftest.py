"""What every test shares: one thread, and this directory on the import path."""

import torch

torch.set_num_threads(1)
