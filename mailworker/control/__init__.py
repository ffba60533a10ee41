"""Programs that ask and steer a mailworker that runs, by its control socket."""
