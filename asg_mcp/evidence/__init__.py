"""The evidence bundle's own program: one file that runs anywhere, and is copied into each bundle byte for byte."""
