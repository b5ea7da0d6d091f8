"""A quick look at a whole raw file: is it a recognisable picture, is a channel dead? Drawn by readers made by others."""
