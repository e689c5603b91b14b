"""What the layers of tests share, which import nothing from each other: one module for each thing."""
