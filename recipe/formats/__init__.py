"""Text formats: everything that makes a row a couplet, a plain text, or what comes later, in one class for each."""
