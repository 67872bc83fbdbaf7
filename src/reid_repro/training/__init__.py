"""One training loop for every network, with its sampler, losses and checkpoints."""
