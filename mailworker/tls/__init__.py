"""TLS as in nginx's ssl module: contexts from settings, connections over sockets."""
