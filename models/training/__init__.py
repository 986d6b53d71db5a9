"""How a network is trained: recipe, batches, objective, loop; never live."""
