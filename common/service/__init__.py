"""The server process of every pipeline: HTTP in, bytes out; and the client that talks to it."""
