"""How people hide values, undone: views of a text in which the rules look once more. `undone.py` has the order."""
