"""The parts that every service process needs: settings, logs, traces, bus, consumers, health, shutdown."""

from synthbench.chassis.unused_imports import leave_out_unused

leave_out_unused()  # here, because it has to come before anything of ours imports those libraries
