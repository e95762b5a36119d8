"""From a configuration to records: plan, sessions, cells, disturbances."""
