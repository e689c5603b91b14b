"""One process's engine: boards in a loop, runs, campaigns, and handlers in their thread."""
