"""Import and export formats of trajectories, statistics, and the digest of a campaign. Pure."""
