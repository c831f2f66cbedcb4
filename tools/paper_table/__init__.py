"""The papers' tables beside what runs of this project found."""
