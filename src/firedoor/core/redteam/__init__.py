"""The red-team suite: cases and their harmless twins, how they are asked, what came of it. All of it is invented."""
