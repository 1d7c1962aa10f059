"""A trained model in use: lists, neighbours, new users, export."""
