"""The emulated AWS: moto's server behind middleware that authorizes, extends and observes calls."""
