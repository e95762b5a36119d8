"""The command: the one folder that may load every floor (docs/adr/0013-the-doors.md)."""
