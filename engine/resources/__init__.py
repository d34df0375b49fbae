"""Memory, disk, pressure and the build gate."""
