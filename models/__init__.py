"""What the classifier is, and how it came to be: symmetry, crystals, network, weights.

It imports nothing of the other three packages; what runs live needs no torch.
"""
