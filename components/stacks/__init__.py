"""What each stack is made of: its settings in, components, its outputs out."""
