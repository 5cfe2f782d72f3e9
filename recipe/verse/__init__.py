"""The verse of the Tang and Song dynasties as texts to pretrain on and as couplets: `python -m recipe.verse`."""
