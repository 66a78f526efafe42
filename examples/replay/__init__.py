"""A notebook that begins with a topic, and events to try it on."""
