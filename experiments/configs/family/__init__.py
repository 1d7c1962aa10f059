"""Families of collaborative metric learning with the same sampler, budget and protocol."""
