"""The simulators as batched tensor operations, for a GPU that would otherwise wait for pairs."""
