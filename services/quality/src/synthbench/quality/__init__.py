"""The service that scores trajectories and gives verdicts."""
