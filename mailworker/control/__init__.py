"""Programs that query and steer a running mailworker by its control socket."""
