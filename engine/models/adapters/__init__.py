"""Provider adapters over the official SDKs, and what they share."""
