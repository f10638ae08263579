"""The network, its pretrained weights and its training."""
