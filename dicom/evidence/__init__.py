"""The clues, one a file; `kspace.registry.plugins` finds them."""
