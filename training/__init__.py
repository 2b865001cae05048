"""What Firedoor trains itself; nothing here is part of the product."""
