"""Task-sets and handlers from files and from `module:name`."""
