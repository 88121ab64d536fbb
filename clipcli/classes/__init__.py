"""What the classes are called: labels with their aliases, and the prompts that they are put into."""
