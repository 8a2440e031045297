"""What is measured of the product's speed, a subject a module."""
