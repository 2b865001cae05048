"""What an answer must not hold, and the watches that find it while the answer grows."""
