"""What people do: no HTML, no command line."""
