"""The top floor: REST, settings, wiring, the command line and the web page."""
