"""Building blocks that several papers' networks share."""
