"""The platform's components: one concept a file, composed by ``components.stacks``."""
