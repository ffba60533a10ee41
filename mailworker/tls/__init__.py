"""TLS as the ssl module of nginx has it: contexts from settings, connections over sockets."""
