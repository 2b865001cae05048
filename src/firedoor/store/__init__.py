"""Durable files: journal, credentials, protected values, switch table, catalogue indexes."""
