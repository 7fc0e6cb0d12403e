"""Write a network to a file that other programs read, and prove that the file is right."""
