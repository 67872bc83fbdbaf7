"""What figures and sentences of the papers show, as numbers: attention, overlap, counts, costs.

A metric of a run is a table's matter; everything else that a paper's figure or sentence puts
forward is measured here, one module a kind. `recipes` says what is measured for which paper, and
from which runs; `phases.measures` runs the recipes and writes their values.
"""
