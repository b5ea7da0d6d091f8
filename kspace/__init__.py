"""The raw files: where they come from, what they are, how they are packed. Knows no network destination."""
