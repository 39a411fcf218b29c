"""What runs in place of AWS's images: scripts for the interpreter of the seed environment."""
