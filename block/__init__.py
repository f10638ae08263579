"""Features in, a trained and measured model for a microcontroller out."""
