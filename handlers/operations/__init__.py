"""What people do: look at what happened, run it again, check the app, remove what it made. No HTML, no printing."""
