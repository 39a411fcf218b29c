"""The platform's components: one concept a file, composed by ``__main__``."""
