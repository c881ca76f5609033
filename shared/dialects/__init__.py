"""The languages that clients speak: each is read into one inner form, and answers in that form are written back."""
