"""What every synth-bench service process needs: settings, logging, telemetry, bus, outbox, health."""
