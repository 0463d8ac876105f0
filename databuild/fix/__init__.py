"""Make a better row of a faulty one; every fix is a child of what it mends."""
