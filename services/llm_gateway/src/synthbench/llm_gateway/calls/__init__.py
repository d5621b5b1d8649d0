"""A model call from its request to its answer: the models of its route are tried until one answers."""
