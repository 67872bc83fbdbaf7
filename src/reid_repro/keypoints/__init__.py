"""DeeperCut's network for the joints of a pedestrian: train, detect, score, import."""
