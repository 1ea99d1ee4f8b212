"""The central TLS profile: from the API object to effective settings, and on to what each component takes. Pure."""
