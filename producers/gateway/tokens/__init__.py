"""Who may do what, and how much of it: tokens, where they are kept, and how a request is judged by its own."""
