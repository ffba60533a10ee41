"""The sources that decide about logins."""
