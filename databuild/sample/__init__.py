"""Choose, split and mix rows."""
