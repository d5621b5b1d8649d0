"""Rate limits of models and providers, which hold for all replicas of the gateway together."""
