"""How the tables of control came about, step by step (Alembic)."""
