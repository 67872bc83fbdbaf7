"""What changed between two results: two folders, or two revisions of the repository."""
