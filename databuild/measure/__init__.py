"""Say what is there, as columns, before anything is thrown away."""
