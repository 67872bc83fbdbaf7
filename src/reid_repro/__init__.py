"""reid-repro: five re-identification papers, reproduced end to end."""

__version__ = "0.1.0"
