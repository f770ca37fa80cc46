"""What every test shares: torch runs on one thread."""

import torch

torch.set_num_threads(1)
