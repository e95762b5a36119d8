"""A cipher as deployed: parameters, client, server, training, what an attacker sees of it."""
