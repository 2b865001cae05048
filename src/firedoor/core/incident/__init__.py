"""A case and everything that law, contract and people ask of it. Pure: values in, values out."""
