"""Tiny trees in the exact layout of each public dataset, made by `make(root)`."""
