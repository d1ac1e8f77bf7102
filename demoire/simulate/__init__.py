"""Moiré by its physics: pairs of pictures with and without it, for training and for tests."""
