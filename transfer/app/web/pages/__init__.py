"""One module a page: `tell` says what is on it, one route shows that to people and its twin to programs."""
