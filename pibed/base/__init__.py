"""What everything stands on: errors, files, places, processes, and the terminal."""
