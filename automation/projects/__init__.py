"""Vending of projects: what is asked for, what it becomes in the accounts, and its repositories."""
