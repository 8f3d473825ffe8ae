"""The software that Klaxon is compared with, each with its best configuration."""
