"""One thread: the tensors are small, and waiting threads cost more than they give."""

import torch

torch.set_num_threads(1)
