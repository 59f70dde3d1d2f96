"""What a user writes: the Sequential model, and specs in files."""
