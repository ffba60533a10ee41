"""What goes from one cycle to the next, and over an upgrade from one program to the next."""
