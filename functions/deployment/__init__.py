"""The deployment function; :mod:`.handler` tells what it does and what it needs."""
