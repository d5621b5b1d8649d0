"""What datasets are made of: formats to import and export, statistics, and the digest of a campaign. Pure."""
