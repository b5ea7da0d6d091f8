"""A quick look at a whole raw file: is it a recognisable picture, is a channel dead? Readers of others draw it."""
