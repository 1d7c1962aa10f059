"""Runnable experiments with cml_jax."""
