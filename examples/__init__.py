"""Programs that show the whole thing at work. They may import everything; nothing imports them."""
