"""Vending of projects: the function of the catalogue's products, and what its build runs."""
