"""What may vary: dimensions, the space they make, and the one crossing to the unit cube and to JSON."""
