#!/usr/bin/env bash
# Snakemake runs this in the new environment, in the workflow's working directory.
set -euo pipefail
pip install --no-deps --no-build-isolation .
