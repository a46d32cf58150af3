"""Where things are and how they are opened; asset code never knows."""
